//! The command `show`.

use crate::args::Show;
use crate::failure::Failure;

pub(crate) fn run(_args: Show) -> Result<(), Failure> {
    unimplemented!()
}
