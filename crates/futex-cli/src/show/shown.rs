//! What `show` found.

use super::shown_word::Word;
use crate::about::{Holder, Metadata, Part};
use crate::region::Region;
use serde::{Serialize, Serializer};

/// What is shown. This is the JSON too, so docs/cli.md describes each field.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    pub(super) object: String,
    /// False for a memfd, and after the last name was removed.
    pub(super) has_name: bool,
    #[serde(flatten)]
    pub(super) metadata: Metadata,
    pub(super) range: Part,
    /// The members and objects, if it is a region of futex-ipc.
    pub(super) region: Option<Region>,
    /// Why they can't be shown.
    pub(super) region_error: Option<String>,
    /// True if people are shown the region and not the words.
    #[serde(skip)]
    pub(super) is_region_only: bool,
    pub(super) words: Vec<Word>,
    pub(super) words_with_waiters: u64,
    /// True if there may be more words than `words` has.
    pub(super) is_cut: bool,
    pub(super) not_read: Option<Part>,
    pub(super) not_counted: Option<Part>,
    /// Why counting ended early.
    pub(super) error: Option<String>,
    /// False if there may be pages that were not looked into (huge pages only).
    pub(super) knows_pages: bool,
    pub(super) processes: Vec<Holder>,
    /// The processes that could not be inspected. The JSON has how many.
    #[serde(rename = "hidden_processes", serialize_with = "len")]
    pub(super) hidden: Vec<u32>,
}

fn len<S: Serializer>(processes: &[u32], serializer: S) -> Result<S::Ok, S::Error> {
    processes.len().serialize(serializer)
}
