//! ipc-channel's channels of bytes, one for each producer.

use super::control::Control;
use super::message::bytes;
use super::opened::{Consume, Opened};
use crate::hull::Hull;
use ipc_channel::ipc::{IpcBytesReceiver, IpcOneShotServer, IpcSender, bytes_channel};
use std::hint::black_box;
use std::io;
use std::thread;

type Server = IpcOneShotServer<IpcBytesReceiver>;

pub(super) fn open(producers: usize) -> io::Result<Opened> {
    let control = Control::create(4096)?;
    let mut hulls = Vec::new();
    let mut servers = Vec::new();
    for _ in 0..producers {
        let (server, name) = Server::new()?;
        servers.push(server);
        hulls.push(Hull { stdin: control.fd()?, stdout: None, name });
    }
    Ok(Opened { control, hulls, consume: Box::new(|| consume(servers)) })
}

fn consume(servers: Vec<Server>) -> io::Result<Consume> {
    let accept = |server: Server| server.accept().map_err(io::Error::other).map(|(_, receiver)| receiver);
    let mut receivers = servers.into_iter().map(accept).collect::<io::Result<Vec<_>>>()?;
    Ok(Box::new(move |_, count| {
        let each = count / receivers.len();
        if let [receiver] = &receivers[..] {
            return take(receiver, each);
        }
        // Its receivers block, so each has a thread.
        thread::scope(|scope| {
            let threads: Vec<_> =
                receivers.iter_mut().map(|receiver| scope.spawn(move || take(receiver, each))).collect();
            let mut ends =
                threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(io::Error::other("a panic"))));
            ends.try_for_each(|end| end)
        })
    }))
}

fn take(receiver: &IpcBytesReceiver, count: usize) -> io::Result<()> {
    for _ in 0..count {
        black_box(receiver.recv().map_err(io::Error::other)?);
    }
    Ok(())
}

pub(super) fn produce(hull: Hull) -> io::Result<()> {
    let control = Control::from_fd(hull.stdin)?;
    let (sender, receiver) = bytes_channel()?;
    let server = IpcSender::connect(hull.name)?;
    server.send(receiver).map_err(io::Error::other)?;
    control.send_each(|number| sender.send(&bytes(number)))
}
