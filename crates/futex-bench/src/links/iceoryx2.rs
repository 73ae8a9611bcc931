//! iceoryx2's events: its listener's descriptor in Tokio's epoll.

use super::end::End;
use crate::hull::Hull;
use crate::register::{duplicate, register};
use iceoryx2::port::{listener::Listener, notifier::Notifier};
use iceoryx2::prelude::{LogLevel, Node, NodeBuilder, ipc_threadsafe, set_log_level};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::io::unix::AsyncFd;

type Service = ipc_threadsafe::Service;

pub(crate) struct Event {
    readable: AsyncFd<OwnedFd>,
    listener: Listener<Service>,
    notifier: Notifier<Service>,
    _node: Node<Service>,
}

impl Event {
    pub(super) fn to_process() -> io::Result<(Self, Hull)> {
        static LATEST: AtomicU32 = AtomicU32::new(0);
        let name = format!("futex-bench-{}-{}", std::process::id(), LATEST.fetch_add(1, Ordering::Relaxed));
        let end = Self::new(&name, 0)?;
        Ok((end, Hull { stdin: rustix::stdio::stdin().try_clone_to_owned()?, stdout: None, name }))
    }

    pub(super) fn from_hull(hull: &Hull) -> io::Result<Self> {
        Self::new(&hull.name, 1)
    }

    fn new(name: &str, side: usize) -> io::Result<Self> {
        set_log_level(LogLevel::Error); // it warns that there is no configuration file
        let node = NodeBuilder::new().create::<Service>().map_err(io::Error::other)?;
        let event = |side: usize| {
            let name = format!("{name}-{side}").as_str().try_into().map_err(io::Error::other)?;
            node.service_builder(&name).event().open_or_create().map_err(io::Error::other)
        };
        let listener = event(side)?.listener_builder().create().map_err(io::Error::other)?;
        let notifier = event(1 - side)?.notifier_builder().create().map_err(io::Error::other)?;
        let readable = register(duplicate(&listener)?)?;
        Ok(Self { readable, listener, notifier, _node: node })
    }
}

impl End for Event {
    async fn signal(&mut self) -> io::Result<()> {
        // Nobody to notify: the other side has not come yet.
        while self.notifier.notify().map_err(io::Error::other)? == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        Ok(())
    }

    async fn wait(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.readable.readable().await?;
            // Before the look, so that an event that it just misses is a new edge.
            ready.clear_ready();
            let mut events = 0;
            self.listener.try_wait(|_| events += 1).map_err(io::Error::other)?;
            if events > 0 {
                return Ok(());
            }
        }
    }
}
