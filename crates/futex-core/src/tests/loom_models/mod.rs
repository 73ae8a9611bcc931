//! Models of threads that use the engine at the same time. `docs/loom.md` lists the rules that each model checks.

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
