//! A flood of SYNs from addresses that nobody has. Over a pair of veth devices: the listener's network
//! namespace has the near end, a namespace that nothing else is in the far end. Both have no other
//! device and no route beside that of their own network, so that nothing leaves the pair. Or, on
//! kernels without veth, over the loopback device of the listener's namespace: it is told that the
//! senders are there too, and what is sent to them is thrown away, because they are not local.

use std::{
    fs::{self, File},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::fd::AsRawFd,
    thread,
};

use anyhow::{Context, anyhow, ensure};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
    link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
    route::{
        RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope,
        RouteType,
    },
};
use netlink_sys::{Socket as NetlinkSocket, protocols::NETLINK_ROUTE};
use nix::{
    net::if_::if_nametoindex,
    sched::{CloneFlags, setns, unshare},
};
use socket2::{Domain, Protocol, Socket, Type};

use crate::Outcome;

const NEAR: (&str, Ipv4Addr) = ("near", Ipv4Addr::new(10, 66, 0, 1));
const FAR: (&str, Ipv4Addr) = ("far", Ipv4Addr::new(10, 66, 0, 2));

/// The network that all the senders are in.
const NETWORK: Ipv4Addr = Ipv4Addr::new(10, 66, 0, 0);

/// Length of the prefix of that network.
const PREFIX: u8 = 16;

/// The address of both devices: nobody answers for the senders, so that nobody is asked (IFF_NOARP),
/// and a device sends to its own address then (`arp_constructor`).
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// Where SYNs are sent from.
pub enum Source {
    /// The network namespace of the far end.
    Far(File),
    /// This network namespace.
    Here,
}

/// Why there can be no pair here.
pub fn lacking() -> Option<String> {
    let made = elsewhere(|| {
        unshare(CloneFlags::CLONE_NEWNET)?;
        pair().map(drop)
    });
    made.err().map(|error| format!("no pair of veth devices: {error:#}"))
}

/// Makes the pair. The near end is in this network namespace; the far one, and its namespace, go with
/// what is returned.
pub fn pair() -> anyhow::Result<Source> {
    let far = elsewhere(|| {
        unshare(CloneFlags::CLONE_NEWNET)?;
        Ok(File::open("/proc/thread-self/ns/net")?)
    })?;
    let named = |name: &str| {
        let mut link = LinkMessage::default();
        link.attributes.push(LinkAttribute::IfName(name.to_owned()));
        link.attributes.push(LinkAttribute::Address(MAC.to_vec()));
        link
    };
    let mut peer = named(FAR.0);
    peer.attributes.push(LinkAttribute::NetNsFd(far.as_raw_fd()));
    let mut link = named(NEAR.0);
    link.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
    ]));
    ask(RouteNetlinkMessage::NewLink(link), NLM_F_CREATE | NLM_F_EXCL)?;
    set_up(NEAR)?;
    let far = Source::Far(far);
    far.inside(|| set_up(FAR))?;
    Ok(far)
}

/// Lets the senders be reached over the loopback device of this network namespace, or by no way at all.
pub fn here(reached: bool) -> anyhow::Result<Source> {
    fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", "0")?;
    fs::write("/proc/sys/net/ipv4/conf/lo/rp_filter", "0")?;
    let mut route = RouteMessage::default();
    route.header.address_family = AddressFamily::Inet;
    route.header.destination_prefix_length = PREFIX;
    route.header.table = RouteHeader::RT_TABLE_MAIN;
    route.header.protocol = RouteProtocol::Static;
    route.attributes.push(RouteAttribute::Destination(RouteAddress::Inet(NETWORK)));
    if reached {
        route.header.scope = RouteScope::Link;
        route.header.kind = RouteType::Unicast;
        route.attributes.push(RouteAttribute::Oif(if_nametoindex("lo")?));
    } else {
        route.header.kind = RouteType::BlackHole;
    }
    ask(RouteNetlinkMessage::NewRoute(route), NLM_F_CREATE | NLM_F_EXCL)?;
    Ok(Source::Here)
}

impl Source {
    /// Sends so many SYNs to this port, each from another address, by so many threads at once.
    pub fn flood(&self, port: u16, count: u32, senders: u32) -> Outcome {
        ensure!(count <= 500 && senders > 0, "{count} SYNs are too many");
        let part = |sender: u32| (sender * count / senders)..((sender + 1) * count / senders);
        thread::scope(|scope| {
            let threads: Vec<_> = (0..senders)
                .map(|sender| scope.spawn(move || self.send(port, part(sender))))
                .collect();
            let ended = |one: thread::ScopedJoinHandle<'_, Outcome>| one.join();
            threads
                .into_iter()
                .map(ended)
                .try_for_each(|one| one.map_err(|_| anyhow!("a sender ended early"))?)
        })
    }

    /// Sends the SYNs of these numbers.
    fn send(&self, port: u16, numbers: std::ops::Range<u32>) -> Outcome {
        let to = match self {
            Self::Far(_) => NEAR.1,
            Self::Here => Ipv4Addr::LOCALHOST,
        };
        self.inside(move || {
            let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::TCP))?;
            socket.set_header_included_v4(true)?;
            let target = SocketAddr::from((to, 0)).into();
            for number in u16::try_from(numbers.start)?..u16::try_from(numbers.end)? {
                let [high, low] = number.to_be_bytes();
                let from = Ipv4Addr::new(10, 66, 1 + high, low);
                socket.send_to(&syn(from, to, 1024 + number, port), &target)?;
            }
            Ok(())
        })
    }

    /// Does something where it is.
    fn inside(&self, act: impl FnOnce() -> Outcome + Send + 'static) -> Outcome {
        let Self::Far(namespace) = self else { return act() };
        let namespace = namespace.try_clone()?;
        elsewhere(move || {
            setns(&namespace, CloneFlags::CLONE_NEWNET)?;
            act()
        })
    }
}

/// Does something in a thread of its own, which may leave its network namespace.
fn elsewhere<T: Send + 'static>(
    act: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    thread::spawn(act).join().map_err(|_| anyhow!("a thread ended early"))?
}

/// Gives a device its address and sets it up; nothing is forwarded, and no sender doubted.
fn set_up((name, address): (&str, Ipv4Addr)) -> Outcome {
    for (name, value) in
        [("ip_forward", "0"), ("conf/all/rp_filter", "0"), (&format!("conf/{name}/rp_filter"), "0")]
    {
        fs::write(format!("/proc/sys/net/ipv4/{name}"), value).context(name.to_owned())?;
    }
    let index = if_nametoindex(name)?;
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.header.flags = LinkFlags::Up | LinkFlags::Noarp;
    link.header.change_mask = link.header.flags;
    ask(RouteNetlinkMessage::SetLink(link), 0)?;
    let mut given = AddressMessage::default();
    given.header.family = AddressFamily::Inet;
    given.header.prefix_len = PREFIX;
    given.header.index = index;
    given.attributes.push(AddressAttribute::Local(IpAddr::V4(address)));
    ask(RouteNetlinkMessage::NewAddress(given), NLM_F_CREATE | NLM_F_EXCL)
}

/// Asks the kernel for a change in this network namespace, and waits for its answer.
fn ask(wanted: RouteNetlinkMessage, flags: u16) -> Outcome {
    let mut netlink = NetlinkSocket::new(NETLINK_ROUTE)?;
    netlink.bind_auto()?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(wanted));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    netlink.send(&bytes, 0)?;
    let (answer, _) = netlink.recv_from_full()?;
    match NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer)?.payload {
        NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io().into()),
        NetlinkPayload::Error(_) => Ok(()),
        other => Err(anyhow!("not an answer: {other:?}")),
    }
}

/// A SYN. The kernel fills in what is 0 of the IP header: its length, number and checksum.
fn syn(from: Ipv4Addr, to: Ipv4Addr, from_port: u16, port: u16) -> Vec<u8> {
    const SYN: u8 = 2;
    let mut tcp = Vec::new();
    for word in [from_port, port, 0, from_port, 0, 0] {
        tcp.extend(word.to_be_bytes());
    }
    // Five words of header and no options; the window; the checksum; no urgent data.
    tcp.extend([5 << 4, SYN, 0xff, 0xff, 0, 0, 0, 0]);
    // The header that is only summed up: addresses, protocol, length.
    let mut summed = [from.octets(), to.octets()].concat();
    summed.extend([0, 6, 0, 20]);
    summed.extend(&tcp);
    let words =
        summed.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let [.., high, low] = (!sum).to_be_bytes();
    tcp[16..18].copy_from_slice(&[high, low]);
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0];
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.extend(tcp);
    packet
}
