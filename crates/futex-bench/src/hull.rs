//! What the other process is started with.

use anyhow::{Context as _, Result};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net;
use tokio::net::UnixStream;

/// Descriptors, at most two, and the name by which the sides meet if they do not meet by a descriptor.
#[derive(Debug, Default)]
pub(crate) struct Hull {
    pub(crate) fds: Vec<OwnedFd>,
    pub(crate) name: String,
}

impl Hull {
    /// A hull with duplicates of descriptors.
    pub(crate) fn of<const N: usize>(fds: [&dyn AsFd; N]) -> Result<Self> {
        let fds = fds.map(|fd| fd.as_fd().try_clone_to_owned()).into_iter().collect::<Result<_, _>>()?;
        Ok(Self { fds, name: String::new() })
    }

    /// Takes the first descriptor that is left.
    pub(crate) fn take_fd(&mut self) -> Result<OwnedFd> {
        (!self.fds.is_empty()).then(|| self.fds.remove(0)).context("a descriptor is missing")
    }

    /// Takes it as a socket of the runtime that is entered.
    pub(crate) fn take_socket(&mut self) -> Result<UnixStream> {
        let socket = net::UnixStream::from(self.take_fd()?);
        socket.set_nonblocking(true)?;
        Ok(UnixStream::from_std(socket)?)
    }
}
