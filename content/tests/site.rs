//! A site from outside: files are written into a folder, and what is served of them is looked at.

#[path = "site/broken.rs"]
mod broken;
#[path = "site/changes.rs"]
mod changes;
#[path = "site/deep.rs"]
mod deep;
#[path = "site/drafts.rs"]
mod drafts;
#[path = "site/files.rs"]
mod files;
#[path = "site/folder.rs"]
mod folder;
#[path = "site/model.rs"]
mod model;
#[path = "site/rendering.rs"]
mod rendering;
#[path = "site/restart.rs"]
mod restart;
#[path = "site/xml.rs"]
mod xml;
