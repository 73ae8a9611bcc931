//! What the other process is started with.

use std::os::fd::OwnedFd;

/// The descriptors of the other process, and a name.
#[derive(Debug)]
pub(crate) struct Hull {
    pub(crate) stdin: OwnedFd,
    pub(crate) stdout: Option<OwnedFd>,
    /// The name by which the sides meet, if they do not meet by a descriptor.
    pub(crate) name: String,
}
