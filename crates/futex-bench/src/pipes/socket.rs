//! A pair of Unix sockets for each producer, through Tokio.

use super::control::Control;
use super::message::{MESSAGE, bytes};
use super::opened::{Consume, Opened};
use crate::hull::Hull;
use std::hint::black_box;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

pub(super) fn open(producers: usize) -> io::Result<Opened> {
    let control = Control::create(4096)?;
    let mut hulls = Vec::new();
    let mut sockets = Vec::new();
    for _ in 0..producers {
        let (here, there) = net::UnixStream::pair()?;
        here.set_nonblocking(true)?;
        sockets.push(BufReader::new(UnixStream::from_std(here)?));
        hulls.push(Hull { stdin: control.fd()?, stdout: Some(OwnedFd::from(there)), name: String::new() });
    }
    Ok(Opened { control, hulls, consume: Box::new(|| Ok(consume(sockets))) })
}

fn consume(mut sockets: Vec<BufReader<UnixStream>>) -> Consume {
    Box::new(move |executor, count| {
        let each = count / sockets.len();
        let readers = sockets.iter_mut().map(|socket| take(socket, each));
        executor.block_on(futures_util::future::try_join_all(readers)).map(drop)
    })
}

async fn take(socket: &mut BufReader<UnixStream>, count: usize) -> io::Result<()> {
    let mut message = [0; MESSAGE * 4];
    for _ in 0..count {
        socket.read_exact(&mut message).await?;
        black_box(&message);
    }
    Ok(())
}

pub(super) async fn produce(hull: Hull) -> io::Result<()> {
    let control = Control::from_fd(hull.stdin)?;
    let socket = hull.stdout.ok_or_else(|| io::Error::other("the socket is missing"))?;
    let socket = net::UnixStream::from(socket);
    socket.set_nonblocking(true)?;
    let mut socket = UnixStream::from_std(socket)?;
    let mut sent = 0;
    loop {
        // Nothing else runs here, so this may block.
        let wanted = control.more_than(sent)?;
        while sent < wanted {
            socket.write_all(&bytes(sent)).await?;
            sent += 1;
        }
    }
}
