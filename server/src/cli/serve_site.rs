//! `sws serve DIR` where DIR is a site: it has a folder `content`.

use super::serve::{Failure, ServeArgs, announce, bound};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use sws::Log;
use sws::content::site::SiteOptions;
use sws::site::{LiveSite, LiveSiteOptions};

/// Whether a folder is a site.
pub fn is_site(dir: &Path) -> bool {
    dir.join("content").is_dir()
}

/// The data folder beside the site, named after it.
fn data_dir(args: &ServeArgs) -> io::Result<PathBuf> {
    if let Some(dir) = &args.data {
        return Ok(dir.clone());
    }
    let dir = args.dir.canonicalize()?;
    let name = dir.file_name().ok_or_else(|| io::Error::other("it has no name; say --data"))?;
    let mut name = name.to_owned();
    name.push(".data");
    Ok(dir.with_file_name(name))
}

/// Serves until a signal ends it.
pub fn serve_site(args: &ServeArgs) -> Result<(), Failure> {
    let data = data_dir(args).map_err(|error| Failure::Folder(args.dir.clone(), error))?;
    let server = bound(args)?;
    let (log, recovered) = Log::open(&data).map_err(|error| Failure::Log(data.clone(), error))?;
    let site = SiteOptions {
        drafts: args.drafts,
        url: Some(format!("http://{}", server.addr())),
        ..SiteOptions::default()
    };
    let options = LiveSiteOptions { token: args.token.clone(), site, ..LiveSiteOptions::default() };
    let (site, report) = LiveSite::open(&args.dir, log, options).map_err(Failure::Site)?;
    site.attach(&server.topics());
    let damage: Vec<String> = recovered.damage().map(str::to_owned).collect();
    let kept = format!(
        "log in {}: {} records kept, {} bytes cut",
        data.display(),
        recovered.records(),
        recovered.bytes_cut()
    );
    let drafts = if args.drafts { ", drafts shown" } else { "" };
    let admin = server.admin_addr().map_or_else(String::new, |addr| format!(", metrics on http://{addr}"));
    let line = format!("serving {} on http://{}{admin}", args.dir.display(), server.addr());
    let text = format!("site: {report}{drafts}\n{kept}\n{line}");
    for damage in &damage {
        eprintln!("sws: the log is damaged: {damage}");
    }
    let missing = AtomicU64::new(args.workers);
    server.serve(move || {
        let router = site.router();
        if missing.fetch_sub(1, Ordering::Relaxed) == 1 {
            announce(&text);
        }
        router
    })?;
    Ok(())
}
