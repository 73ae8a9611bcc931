//! The command `wait`.

use crate::args::Wait;
use crate::failure::Failure;

pub(crate) fn run(_args: Wait) -> Result<(), Failure> {
    unimplemented!()
}
