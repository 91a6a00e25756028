//! The perf events: read as they come, decoded, handed on.

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{
        MapData,
        perf::{PerfEvent, PerfEventArray, PerfEventArrayBuffer},
    },
};
use bytes::BytesMut;
use observer_common::event::{DropEvent, Record};
use tokio::{
    io::unix::AsyncFd,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

use crate::async_fd::readable;

/// Pages of each CPU's buffer: 64 KiB, a thousand events and more between two reads.
const PAGES: usize = 16;

/// Opens a buffer on every online CPU and reads them from tasks of the current runtime.
///
/// # Errors
///
/// When the kernel refuses a buffer.
pub fn listen(ebpf: &mut Ebpf) -> Result<UnboundedReceiver<Record>> {
    let map = ebpf.take_map("EVENTS").context("the object has no map EVENTS")?;
    let mut array = PerfEventArray::try_from(map)?;
    let (sender, receiver) = unbounded_channel();
    for cpu in aya::util::online_cpus()
        .map_err(|(path, error)| anyhow::Error::new(error).context(format!("cannot read {path}")))?
    {
        let buffer = array
            .open(cpu, Some(PAGES))
            .with_context(|| format!("the kernel refused an event buffer on CPU {cpu}"))?;
        tokio::spawn(read(readable(buffer)?, sender.clone()));
    }
    Ok(receiver)
}

/// Reads one CPU's buffer until nobody listens any more.
async fn read(mut buffer: AsyncFd<PerfEventArrayBuffer<MapData>>, sender: UnboundedSender<Record>) {
    let mut bytes = BytesMut::with_capacity(size_of::<DropEvent>() * 2);
    while let Ok(mut guard) = buffer.readable_mut().await {
        guard.get_inner_mut().for_each(|event| {
            // What the kernel says it lost was counted by the program that failed to send it.
            let PerfEvent::Sample { head, tail } = event else { return };
            bytes.clear();
            bytes.extend_from_slice(head);
            bytes.extend_from_slice(tail);
            match Record::decode(&bytes) {
                Ok(event) => drop(sender.send(event)),
                Err(error) => log::debug!("a perf event could not be read: {error:?}"),
            }
        });
        guard.clear_ready();
        if sender.is_closed() {
            return;
        }
    }
}
