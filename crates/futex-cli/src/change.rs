//! The commands `wake`, `set`, `add` and `cas`: change a word, then wake.

use crate::args::{Add, Cas, Set, Wake};
use crate::failure::Failure;

pub(crate) fn wake(_args: Wake) -> Result<(), Failure> {
    unimplemented!()
}
pub(crate) fn set(_args: Set) -> Result<(), Failure> {
    unimplemented!()
}
pub(crate) fn add(_args: Add) -> Result<(), Failure> {
    unimplemented!()
}
pub(crate) fn cas(_args: Cas) -> Result<(), Failure> {
    unimplemented!()
}
