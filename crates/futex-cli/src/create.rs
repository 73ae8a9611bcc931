//! The command `create`.

use crate::args::Create;
use crate::failure::Failure;

pub(crate) fn run(_args: Create) -> Result<(), Failure> {
    unimplemented!()
}
