//! The watcher over real files, on a real ring. Nothing sleeps: what is to be seen is waited for, and what must not be seen is
//! looked for in the batches up to one that names a file written afterwards.

#[path = "watch/editors.rs"]
mod editors;
#[path = "watch/folders.rs"]
mod folders;
#[path = "watch/limits.rs"]
mod limits;
#[path = "watch/mirror.rs"]
mod mirror;
#[path = "watch/support.rs"]
mod support;
