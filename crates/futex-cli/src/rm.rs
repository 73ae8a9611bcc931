//! The command `rm`.

use crate::args::Rm;
use crate::failure::Failure;

pub(crate) fn run(_args: Rm) -> Result<(), Failure> {
    unimplemented!()
}
