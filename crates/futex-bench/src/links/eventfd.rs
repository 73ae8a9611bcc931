//! Two eventfds that both processes have, each in the other's epoll.

use super::end::End;
use crate::hull::Hull;
use crate::register::register;
use futex_sys::EventFd;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use tokio::io::unix::AsyncFd;

pub(crate) struct Eventfd {
    mine: AsyncFd<OwnedFd>,
    theirs: OwnedFd,
}

impl Eventfd {
    pub(super) fn to_process() -> io::Result<(Self, Hull)> {
        let (mine, theirs) = (OwnedFd::from(EventFd::new()?), OwnedFd::from(EventFd::new()?));
        let hull = Hull {
            stdin: theirs.as_fd().try_clone_to_owned()?,
            stdout: Some(mine.as_fd().try_clone_to_owned()?),
            name: String::new(),
        };
        Ok((Self { mine: register(mine)?, theirs }, hull))
    }

    pub(super) fn from_hull(hull: Hull) -> io::Result<Self> {
        let theirs = hull.stdout.ok_or_else(|| io::Error::other("an eventfd is missing"))?;
        Ok(Self { mine: register(hull.stdin)?, theirs })
    }
}

impl End for Eventfd {
    async fn signal(&mut self) -> io::Result<()> {
        rustix::io::write(&self.theirs, &1_u64.to_ne_bytes())?;
        Ok(())
    }

    async fn wait(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.mine.readable().await?;
            let read = ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut [0_u8; 8])?));
            if let Ok(read) = read {
                return read.map(drop);
            }
        }
    }
}
