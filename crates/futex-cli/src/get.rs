//! The command `get`.

use crate::args::Get;
use crate::failure::Failure;
use crate::value::Offset;
use crate::{output, word};
use futex_sys::MemoryView;

pub(crate) fn run(args: &Get) -> Result<(), Failure> {
    let object = &args.object;
    let fd = object.open_to_look()?;
    let cannot = |error| Failure::new(format_args!("cannot read {object}: {error}"));
    let view = MemoryView::from_fd(fd).map_err(cannot)?;
    let mut lines = String::new();
    for &Offset(offset) in &args.offsets {
        let mut value = [0; 4];
        if view.read(offset, &mut value).map_err(cannot)? < value.len() {
            let why = word::is_missing(offset, view.len());
            return Err(Failure::new(format_args!("cannot read {object}: {why}")));
        }
        lines.push_str(&format!("{}\n", u32::from_ne_bytes(value)));
    }
    output::text(lines)
}
