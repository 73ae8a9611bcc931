//! iceoryx2's events.

use crate::register::{duplicate, register};
use anyhow::Result;
use iceoryx2::port::{listener::Listener, notifier::Notifier};
use iceoryx2::prelude::{LogLevel, Node, NodeBuilder, ipc_threadsafe, set_log_level};
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::io::unix::AsyncFd;

type Service = ipc_threadsafe::Service;

pub(crate) struct Event {
    readable: AsyncFd<OwnedFd>,
    listener: Listener<Service>,
    notifier: Notifier<Service>,
    _node: Node<Service>,
}

impl Event {
    pub(super) fn new(name: &str, side: usize) -> Result<Self> {
        set_log_level(LogLevel::Error); // it warns that there is no configuration file
        let node = NodeBuilder::new().create::<Service>()?;
        let event = |side: usize| -> Result<_> {
            let name = format!("{name}-{side}").as_str().try_into()?;
            Ok(node.service_builder(&name).event().open_or_create()?)
        };
        let listener = event(side)?.listener_builder().create()?;
        let notifier = event(1 - side)?.notifier_builder().create()?;
        let readable = register(duplicate(&listener)?)?;
        Ok(Self { readable, listener, notifier, _node: node })
    }

    pub(super) async fn signal(&self) -> Result<()> {
        // If nobody is notified, the other side has not come yet.
        while self.notifier.notify()? == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    pub(super) async fn wait(&self) -> Result<()> {
        loop {
            let mut ready = self.readable.readable().await?;
            // Cleared before the check, so that an event that the check just misses is a new edge.
            ready.clear_ready();
            let mut events = 0;
            self.listener.try_wait(|_| events += 1)?;
            if events > 0 {
                return Ok(());
            }
        }
    }
}
