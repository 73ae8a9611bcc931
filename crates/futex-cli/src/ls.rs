//! The command `ls`.

use crate::args::Ls;
use crate::failure::Failure;

pub(crate) fn run(_args: Ls) -> Result<(), Failure> {
    unimplemented!()
}
