//! Accepts that a security module refuses: a program of the BPF one, where the kernel has it.

use std::{
    net::{Ipv4Addr, TcpStream},
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
};

use anyhow::{Context as _, anyhow, ensure};
use btfparse::{Error as BtfError, ErrorKind, Readable, TypeInformation};

use super::server::{failing_accepts, listen};
use crate::{
    Need, Outcome, Skip, Test,
    role::{Actor, say, wait_for_line},
    shared_run::{Play, in_the_report, in_the_window},
};

/// Accept calls that are refused.
const REFUSALS: u64 = 5;

pub fn tests() -> Vec<Test> {
    vec![Test::together("socket_kinds::refused_by_a_security_module", Need::Kernel, refused)]
}

fn refused() -> anyhow::Result<Play> {
    let mut actor = Actor::start("kinds-refused")?;
    let port = actor.port()?;
    // Fails where the kernel has no such security module, or it is not in use.
    let refuses = refuse_accepts_of(actor.pid())
        .map_err(|error| Skip(format!("no BPF program may refuse accepts here: {error:#}")))?;
    in_the_window(move || {
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        actor.next()?;
        let refusals: u64 = actor.line()?.trim().parse()?;
        drop((client, refuses));
        in_the_report(move |report| {
            if refusals == 0 {
                return Err(Skip("the BPF security module is not in use".into()).into());
            }
            let one = report.only_on_port(port)?;
            let errors = &one["accept_errors"];
            ensure!(errors["EACCES"] == refusals, "{refusals} refused: {errors}");
            ensure!(errors.as_object().is_some_and(|all| all.len() == 1), "{errors}");
            ensure!(one["queued"] == 1 && one["accepted"] == 0, "{one}");
            drop(actor);
            Ok(())
        })
    })
}

/// The role: a server whose accepts are refused, or not.
pub fn serve() -> Outcome {
    let (socket, address) = listen((Ipv4Addr::LOCALHOST, 0).into(), None, |_| Ok(()))?;
    socket.set_nonblocking(true)?;
    say(address.port())?;
    wait_for_line()?;
    say(failing_accepts(&socket, REFUSALS, libc::EACCES)?)?;
    wait_for_line()
}

/// One instruction of a BPF program (`struct bpf_insn`).
#[repr(C)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

const fn instruction(code: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers: 0, offset, immediate }
}

/// The part of `union bpf_attr` that loads a program.
#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log: [u32; 4],
    version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attach_type: u32,
    debug: [u32; 9],
    attach_to: u32,
    zero: u32,
}
const _: () = assert!(std::mem::offset_of!(Load, attach_to) == 108);

/// The part of it that attaches one.
#[repr(C)]
struct Attach {
    name: u64,
    program: u32,
    zero: u32,
}

/// Commands of bpf(2), the kind of program and where it attaches (include/uapi/linux/bpf.h).
const PROG_LOAD: libc::c_int = 5;
const RAW_TRACEPOINT_OPEN: libc::c_int = 17;
const LSM: u32 = 29;
const LSM_MAC: u32 = 27;

/// The kernel's types, in memory.
struct Bytes(Vec<u8>);

impl Readable for Bytes {
    fn read(&self, offset: u64, buffer: &mut [u8]) -> btfparse::Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = self.0.get(start..).and_then(|rest| rest.get(..buffer.len()));
        // The parser reads until this.
        let bytes =
            bytes.ok_or_else(|| BtfError::new(ErrorKind::EOF, "there are no bytes left"))?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

/// Has accepts of this process refused with EACCES, until it is dropped.
fn refuse_accepts_of(pid: u32) -> anyhow::Result<(OwnedFd, OwnedFd)> {
    let types = TypeInformation::new(&Bytes(std::fs::read("/sys/kernel/btf/vmlinux")?))
        .map_err(|error| anyhow!("the kernel's types: {error:?}"))?;
    let attach_to = types.id_of("bpf_lsm_socket_accept").context("it has no hook")?;
    let program = [
        // r0 = bpf_get_current_pid_tgid() >> 32
        instruction(0x85, 0, 14),
        instruction(0x77, 0, 32),
        // if r0 != pid goto the last two
        instruction(0x55, 2, pid.cast_signed()),
        instruction(0xb7, 0, -libc::EACCES),
        instruction(0x95, 0, 0),
        instruction(0xb7, 0, 0),
        instruction(0x95, 0, 0),
    ];
    let license = c"GPL";
    let mut load = Load {
        kind: LSM,
        count: u32::try_from(program.len())?,
        instructions: program.as_ptr().addr() as u64,
        license: license.as_ptr().addr() as u64,
        attach_type: LSM_MAC,
        attach_to,
        ..Load::default()
    };
    let loaded = bpf(PROG_LOAD, &mut load).context("it is not loaded")?;
    let number = u32::try_from(loaded.as_raw_fd())?;
    let mut attach = Attach { name: 0, program: number, zero: 0 };
    let attached = bpf(RAW_TRACEPOINT_OPEN, &mut attach).context("it is not attached")?;
    Ok((loaded, attached))
}

fn bpf<T>(command: libc::c_int, attributes: &mut T) -> anyhow::Result<OwnedFd> {
    // SAFETY: the attributes are of the command's own layout and size, and what they point to lives.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>())
    };
    let descriptor = RawFd::try_from(nix::errno::Errno::result(result)?)?;
    // SAFETY: the kernel has just made this descriptor for this process.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}
