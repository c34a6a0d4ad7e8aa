//! The tools of others, each at the settings that its documentation gives for small deltas.

use super::pairs::Pair;
use super::{Cost, Row, measured, same, size, text};
use crate::error::{Result, file};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Measures one tool on a pair, in a folder of its own choosing.
type Measure = fn(&Pair, &Path) -> Result<Row>;

/// Program, Debian package, how.
pub const ALL: &[(&str, &str, Measure)] = &[
    ("xdelta3", "xdelta3", xdelta3),
    ("zstd", "zstd", zstd),
    ("rdiff", "rdiff", rdiff),
    ("casync", "casync", casync),
    ("ostree", "ostree", ostree),
];

/// Whether a program is in the path.
pub fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}

fn xdelta3(pair: &Pair, work: &Path) -> Result<Row> {
    let (old, new) = (text(&pair.old), text(&pair.new));
    let options = ["-9", "-S", "lzma", "-B", "33554432", "-f"];
    let make = [&["-e"], &options[..], &["-s", old, new, "xdelta3"]].concat();
    let make = measured("xdelta3", &make, work)?;
    let apply = ["-d", "-f", "-B", "33554432", "-s", old, "xdelta3", "xdelta3.out"];
    let apply = measured("xdelta3", &apply, work)?;
    same(&work.join("xdelta3.out"), pair)?;
    let download = size(&work.join("xdelta3"))?;
    Ok(Row { name: "xdelta3 -9 -S lzma, 32 MB window", download, make, apply })
}

fn zstd(pair: &Pair, work: &Path) -> Result<Row> {
    let from = format!("--patch-from={}", pair.old.display());
    let make = ["-q", "-19", "--long=31", &from, text(&pair.new), "-o", "zstd"];
    let make = measured("zstd", &make, work)?;
    let apply = ["-q", "-d", "--long=31", "-M2048MB", &from, "zstd", "-o", "zstd.out"];
    let apply = measured("zstd", &apply, work)?;
    same(&work.join("zstd.out"), pair)?;
    Ok(Row { name: "zstd -19 --patch-from", download: size(&work.join("zstd"))?, make, apply })
}

fn rdiff(pair: &Pair, work: &Path) -> Result<Row> {
    let (old, new) = (text(&pair.old), text(&pair.new));
    let make = measured("rdiff", &["signature", old, "rdiff.signature"], work)?
        .then(measured("rdiff", &["delta", "rdiff.signature", new, "rdiff"], work)?)
        .then(measured("zstd", &["-q", "-19", "rdiff", "-o", "rdiff.zst"], work)?);
    let apply = measured("zstd", &["-q", "-d", "rdiff.zst", "-o", "rdiff.plain"], work)?
        .then(measured("rdiff", &["patch", old, "rdiff.plain", "rdiff.out"], work)?);
    same(&work.join("rdiff.out"), pair)?;
    Ok(Row { name: "rdiff and zstd -19", download: size(&work.join("rdiff.zst"))?, make, apply })
}

/// What a client downloads is the index and the chunks that the old image has not.
fn casync(pair: &Pair, work: &Path) -> Result<Row> {
    let make = |store: &str, index: &str, image: &Path| -> Result<Cost> {
        let store = format!("--store={store}");
        let sizes = "--chunk-size=16384:65536:262144";
        measured("casync", &["make", &store, sizes, index, text(image)], work)
    };
    make("old.castr", "old.caibx", &pair.old)?;
    let made = make("new.castr", "new.caibx", &pair.new)?;
    let (old, new) = (stored(&work.join("old.castr"))?, stored(&work.join("new.castr"))?);
    let missing = new.iter().filter(|(name, _)| !old.contains_key(*name));
    let download = missing.map(|(_, size)| size).sum::<u64>() + size(&work.join("new.caibx"))?;
    let seed = format!("--seed={}", pair.old.display());
    let extract = ["extract", "--store=new.castr", &seed, "new.caibx", "casync.out"];
    let apply = measured("casync", &extract, work)?;
    same(&work.join("casync.out"), pair)?;
    Ok(Row { name: "casync 16:64:256 kB", download, make: made, apply })
}

/// Names and sizes of the files two levels below a chunk store.
fn stored(store: &Path) -> Result<HashMap<PathBuf, u64>> {
    let mut files = HashMap::new();
    for folder in fs::read_dir(store).map_err(file("list", store))?.flatten() {
        for entry in fs::read_dir(folder.path()).into_iter().flatten().flatten() {
            let size = entry.metadata().map_err(file("read", entry.path()))?.len();
            files.insert(PathBuf::from(entry.file_name()), size);
        }
    }
    Ok(files)
}

/// Of trees, since it knows no images: what is applied is a commit, which ostree itself verifies.
fn ostree(pair: &Pair, work: &Path) -> Result<Row> {
    let run = |arguments: &[&str]| measured("ostree", arguments, work);
    for repository in ["--repo=server", "--repo=device"] {
        run(&["init", repository, "--mode=bare-user-only"])?;
    }
    for (branch, tree) in ["old", "new"].iter().zip(&pair.trees) {
        let tree = format!("--tree=dir={}", tree.display());
        run(&["commit", "--repo=server", "-b", branch, "--canonical-permissions", &tree])?;
    }
    run(&["pull-local", "--repo=device", "server", "old"])?;
    let make = [
        "static-delta",
        "generate",
        "--repo=server",
        "--from=old",
        "--to=new",
        "--inline",
        "--min-fallback-size=0",
        "--filename=ostree.delta",
    ];
    let make = run(&make)?;
    let delta = work.join("ostree.delta");
    let apply = run(&["static-delta", "apply-offline", "--repo=device", text(&delta)])?;
    Ok(Row { name: "ostree static delta", download: size(&delta)?, make, apply })
}
