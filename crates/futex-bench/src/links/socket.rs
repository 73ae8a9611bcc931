//! A pair of Unix sockets and one byte.

use super::{AnyEnd, End, Hull};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

pub(crate) struct Socket(UnixStream);

pub(super) fn to_process() -> io::Result<(AnyEnd, Hull)> {
    let (here, there) = net::UnixStream::pair()?;
    Ok((end(here)?, Hull { stdin: OwnedFd::from(there), stdout: None, name: String::new() }))
}

pub(super) fn from_hull(hull: Hull) -> io::Result<AnyEnd> {
    end(hull.stdin.into())
}

fn end(socket: net::UnixStream) -> io::Result<AnyEnd> {
    socket.set_nonblocking(true)?;
    Ok(AnyEnd::Socket(Socket(UnixStream::from_std(socket)?)))
}

impl End for Socket {
    async fn signal(&mut self) -> io::Result<()> {
        self.0.write_all(&[1]).await
    }

    async fn wait(&mut self) -> io::Result<()> {
        self.0.read_exact(&mut [0]).await.map(drop)
    }
}
