//! The perf events: read now and then, decoded.
//!
//! Nobody is woken for an event: that would cost the server that makes it. Buffers are read by the clock, and hold
//! what comes meanwhile; what finds no room is counted by the program that failed to send it.

use std::ops::ControlFlow;

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{
        MapData,
        perf::{PerfEvent, PerfEventArray, PerfEventArrayBuffer},
    },
};
use bytes::BytesMut;
use observer_common::event::{ClientEvent, Record};

/// Pages of each CPU's buffer: 256 KiB, some three thousand events between two reads.
const PAGES: usize = 64;

/// Most events that are read of a CPU at once: as many come to a buffer while it is read as this machine can make.
const AT_ONCE: usize = 4_096;

/// A buffer for each CPU.
pub struct Events {
    buffers: Vec<PerfEventArrayBuffer<MapData>>,
    bytes: BytesMut,
    came: u64,
}

impl Events {
    /// Opens a buffer on every online CPU.
    ///
    /// # Errors
    ///
    /// When the kernel refuses a buffer.
    pub fn open(ebpf: &mut Ebpf) -> Result<Self> {
        let map = ebpf.take_map("EVENTS").context("the object has no map EVENTS")?;
        let mut array = PerfEventArray::try_from(map)?;
        let cpus = aya::util::online_cpus().map_err(|(path, error)| {
            anyhow::Error::new(error).context(format!("cannot read {path}"))
        })?;
        let open = |cpu| {
            array
                .open(cpu, Some(PAGES))
                .with_context(|| format!("the kernel refused an event buffer on CPU {cpu}"))
        };
        let buffers = cpus.into_iter().map(open).collect::<Result<_>>()?;
        Ok(Self { buffers, bytes: BytesMut::with_capacity(size_of::<ClientEvent>() * 2), came: 0 })
    }

    /// Number of events that came so far.
    #[must_use]
    pub fn came(&self) -> u64 {
        self.came
    }

    /// Hands on the events that are there, those of one CPU in their order. Returns whether these were all.
    pub fn read(&mut self, mut take: impl FnMut(Record)) -> bool {
        let Self { buffers, bytes, came } = self;
        let mut all = true;
        for buffer in buffers {
            let end = buffer.try_fold(1, |count, event| {
                // What the kernel says it lost was counted by the program that failed to send it.
                if let PerfEvent::Sample { head, tail } = event {
                    bytes.clear();
                    bytes.extend_from_slice(head);
                    bytes.extend_from_slice(tail);
                    match Record::decode(bytes) {
                        Ok(event) => {
                            *came += 1;
                            take(event);
                        }
                        Err(error) => log::debug!("a perf event could not be read: {error:?}"),
                    }
                }
                if count == AT_ONCE {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(count + 1)
                }
            });
            all &= end.is_continue();
        }
        all
    }
}
