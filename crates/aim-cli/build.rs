//! Notes the commit that the program is built from, if it is built in a checkout.

use std::{path::Path, process::Command};

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // A checkout around this crate may be somebody else's: only one that holds this file has its commit.
    if git(&["ls-files", "--error-unmatch", "build.rs"]).is_none() {
        return;
    }
    // HEAD names a branch, whose file changes with each commit; in a packed repository that is `packed-refs`.
    for file in ["HEAD", "packed-refs"] {
        watch(git(&["rev-parse", "--git-path", file]));
    }
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    watch(branch.and_then(|branch| git(&["rev-parse", "--git-path", &branch])));
    if let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) {
        println!("cargo::rustc-env=AIM_COMMIT={commit}");
    }
}

fn watch(file: Option<String>) {
    if let Some(file) = file.filter(|file| Path::new(file).exists()) {
        println!("cargo::rerun-if-changed={file}");
    }
}
