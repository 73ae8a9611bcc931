//! The command `doctor`.

use crate::args::Doctor;
use crate::failure::Failure;

pub(crate) fn run(_args: Doctor) -> Result<(), Failure> {
    unimplemented!()
}
