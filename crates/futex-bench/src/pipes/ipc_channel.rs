//! ipc-channel's channels of bytes, one for each producer.

use super::control::{Control, Opened, message};
use crate::hull::Hull;
use anyhow::{Result, anyhow};
use ipc_channel::ipc::{IpcBytesReceiver, IpcOneShotServer, IpcSender, bytes_channel};
use std::hint::black_box;
use std::thread;

pub(super) fn open(control: &Control, producers: usize) -> Result<Opened> {
    let (mut hulls, mut servers) = (Vec::new(), Vec::new());
    for _ in 0..producers {
        let (server, name) = IpcOneShotServer::<IpcBytesReceiver>::new()?;
        servers.push(server);
        hulls.push(Hull { name, ..Hull::of([&control.memory])? });
    }
    let mut receivers = Vec::new();
    let consume = Box::new(move |_: &_, count| {
        for server in servers.drain(..) {
            receivers.push(server.accept()?.1); // blocks until the producer has connected
        }
        let each = count / receivers.len();
        if let [receiver] = &receivers[..] {
            return take(receiver, each);
        }
        // Its receivers block, so each has a thread.
        thread::scope(|scope| {
            let threads: Vec<_> = receivers.iter_mut().map(|one| scope.spawn(move || take(one, each))).collect();
            threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow!("a receiver panicked"))?)
        })
    });
    Ok((consume, hulls))
}

fn take(receiver: &IpcBytesReceiver, count: usize) -> Result<()> {
    for _ in 0..count {
        black_box(receiver.recv()?);
    }
    Ok(())
}

pub(super) async fn produce(control: &Control, hull: Hull) -> Result<()> {
    let (sender, receiver) = bytes_channel()?;
    IpcSender::connect(hull.name)?.send(receiver)?;
    let send = async |number| Ok(sender.send(message(number).map(u32::to_ne_bytes).as_flattened())?);
    control.send_each(send).await
}
