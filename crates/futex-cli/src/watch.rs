//! The command `watch`.

use crate::args::Watch;
use crate::failure::Failure;

pub(crate) fn run(_args: Watch) -> Result<(), Failure> {
    unimplemented!()
}
