//! A pair of Unix sockets and one byte.

use super::end::End;
use crate::hull::Hull;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

pub(crate) struct Socket(UnixStream);

impl Socket {
    pub(super) fn to_process() -> io::Result<(Self, Hull)> {
        let (here, there) = net::UnixStream::pair()?;
        Ok((Self::new(here)?, Hull { stdin: OwnedFd::from(there), stdout: None, name: String::new() }))
    }

    pub(super) fn from_hull(hull: Hull) -> io::Result<Self> {
        Self::new(hull.stdin.into())
    }

    fn new(socket: net::UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        UnixStream::from_std(socket).map(Self)
    }
}

impl End for Socket {
    async fn signal(&mut self) -> io::Result<()> {
        self.0.write_all(&[1]).await
    }

    async fn wait(&mut self) -> io::Result<()> {
        self.0.read_exact(&mut [0]).await.map(drop)
    }
}
