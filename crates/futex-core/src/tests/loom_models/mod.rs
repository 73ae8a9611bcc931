//! Models of what threads do to the engine at the same time. `docs/loom.md` says what each proves.

mod batches;
mod closing;
mod dropping;
mod epoll;
mod locks;
mod retiring;
mod shards;
mod unprompted;
mod wait_any;
mod waking;
