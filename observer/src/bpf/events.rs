//! The perf events: read as they come, decoded, handed on.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

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
use tokio::{
    io::unix::AsyncFd,
    sync::mpsc::{Receiver, Sender, channel, error::TrySendError},
};

use crate::async_fd::readable;

/// Pages of each CPU's buffer: 64 KiB, some seven hundred events between two reads.
const PAGES: usize = 16;

/// Most events that are read and wait to be handed on.
const WAITING: usize = 16_384;

/// Events as they come from all CPUs: those of one in their order, those of several in none.
pub struct Events {
    receiver: Receiver<Record>,
    lost: Arc<AtomicU64>,
}

impl Events {
    /// Opens a buffer on every online CPU and reads them from tasks of the current runtime.
    ///
    /// # Errors
    ///
    /// When the kernel refuses a buffer.
    pub fn open(ebpf: &mut Ebpf) -> Result<Self> {
        let map = ebpf.take_map("EVENTS").context("the object has no map EVENTS")?;
        let mut array = PerfEventArray::try_from(map)?;
        let (sender, receiver) = channel(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        for cpu in aya::util::online_cpus().map_err(|(path, error)| {
            anyhow::Error::new(error).context(format!("cannot read {path}"))
        })? {
            let buffer = array
                .open(cpu, Some(PAGES))
                .with_context(|| format!("the kernel refused an event buffer on CPU {cpu}"))?;
            tokio::spawn(read(readable(buffer)?, sender.clone(), Arc::clone(&lost)));
        }
        Ok(Self { receiver, lost })
    }

    /// The next event; `None` where no buffer can be read any more.
    pub async fn next(&mut self) -> Option<Record> {
        self.receiver.recv().await
    }

    /// The next event that has been read already.
    pub fn next_now(&mut self) -> Option<Record> {
        self.receiver.try_recv().ok()
    }

    /// Events that were read and found no room, since the buffers were opened.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// Reads one CPU's buffer until nobody listens any more.
async fn read(
    mut buffer: AsyncFd<PerfEventArrayBuffer<MapData>>,
    sender: Sender<Record>,
    lost: Arc<AtomicU64>,
) {
    let mut bytes = BytesMut::with_capacity(size_of::<ClientEvent>() * 2);
    while let Ok(mut guard) = buffer.readable_mut().await {
        guard.get_inner_mut().for_each(|event| {
            // What the kernel says it lost was counted by the program that failed to send it.
            let PerfEvent::Sample { head, tail } = event else { return };
            bytes.clear();
            bytes.extend_from_slice(head);
            bytes.extend_from_slice(tail);
            match Record::decode(&bytes) {
                Ok(event) => {
                    if let Err(TrySendError::Full(_)) = sender.try_send(event) {
                        lost.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Err(error) => log::debug!("a perf event could not be read: {error:?}"),
            }
        });
        guard.clear_ready();
        if sender.is_closed() {
            return;
        }
        // A flood on this CPU leaves the others, and the reports, their turn.
        tokio::task::yield_now().await;
    }
}
