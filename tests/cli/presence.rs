//! `--when idle` against an X11 server and against what logind's own program says. A Wayland compositor is in the unit
//! tests of `runtime::presence`.

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::ledger;
use crate::mine::{Run, command};

const IDLE: [&str; 8] =
    ["mine", "--device", "cpu", "--json", "--when", "idle", "--idle-after", "1s"];

/// Whether all of these programs are installed; the ledger has it.
fn can_run(test: &str, programs: &[&str]) -> bool {
    let path = env::var_os("PATH").unwrap();
    let is_there = |name: &str| env::split_paths(&path).any(|folder| folder.join(name).is_file());
    let missing = programs.iter().find(|name| !is_there(name));
    let test = format!("desktop::{test}");
    match missing {
        None => ledger::ran(&test),
        Some(name) => ledger::skipped(&test, &format!("no {name} is installed")),
    }
    missing.is_none()
}

/// A process that ends with the test, also with one that fails.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A display with a screen that nobody sees, and its name.
fn display() -> (Server, String) {
    let mut server = Command::new("Xvfb");
    server.args(["-displayfd", "1", "-screen", "0", "320x240x24", "-nolisten", "tcp"]);
    let mut server = server.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let out = server.stdout.take().unwrap();
    let server = Server(server);
    let mut number = String::new();
    // It writes its number when it can be used.
    BufReader::new(out).read_line(&mut number).unwrap();
    (server, format!(":{}", number.trim()))
}

/// Reads events until all is paused for these reasons.
fn until_paused(run: &mut Run, reasons: &[&str]) {
    while run.until("governed")["paused"] != json!(reasons) {}
}

fn end(mut run: Run) {
    crate::signal::signal(&run.child, "INT");
    run.until("summary");
    assert_eq!(run.child.wait().unwrap().code(), Some(130));
}

#[test]
fn who_uses_an_x11_display_gets_the_machine_until_he_leaves_it() {
    let test = "who_uses_an_x11_display_gets_the_machine_until_he_leaves_it";
    if !can_run(test, &["Xvfb", "xdotool"]) {
        return;
    }
    let (_server, display) = display();
    let mut mine = command(&IDLE);
    mine.env("DISPLAY", &display).env_remove("WAYLAND_DISPLAY");
    let mut run = Run::spawned(mine.spawn().unwrap());
    run.until("share");

    let (is_here, moves) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
    let user = {
        let (is_here, moves) = (Arc::clone(&is_here), Arc::clone(&moves));
        thread::spawn(move || {
            while is_here.load(Ordering::Relaxed) {
                let there = moves.fetch_add(1, Ordering::Relaxed) % 2 * 50;
                let at = (10 + there).to_string();
                let mut mouse = Command::new("xdotool");
                let status = mouse.args(["mousemove", &at, &at]).env("DISPLAY", &display).status();
                assert!(status.unwrap().success());
                thread::sleep(Duration::from_millis(50));
            }
        })
    };
    until_paused(&mut run, &["in_use"]);
    is_here.store(false, Ordering::Relaxed);
    user.join().unwrap();
    assert!(moves.load(Ordering::Relaxed) > 0);
    until_paused(&mut run, &[]);
    run.until("share");
    end(run);
}

/// Replaces the answer of the program as a whole.
fn answer(folder: &Path, text: &str) {
    let new = folder.join("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, folder.join("answer")).unwrap();
}

#[test]
fn without_a_display_logind_says_whether_the_machine_is_idle() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("loginctl");
    let asked = "show-session --property=IdleHint --property=IdleSinceHint";
    let script = format!("#!/bin/sh\n[ \"$*\" = \"{asked}\" ] && cat \"${{0%/*}}/answer\"\n");
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    answer(folder.path(), "IdleHint=no\nIdleSinceHint=1764000000000000\n");

    let path = env::var_os("PATH").unwrap();
    let path = [folder.path().to_owned()].into_iter().chain(env::split_paths(&path));
    let mut mine = command(&IDLE);
    mine.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    mine.env("PATH", env::join_paths(path).unwrap());
    let mut run = Run::spawned(mine.spawn().unwrap());
    until_paused(&mut run, &["in_use"]);
    answer(folder.path(), "IdleHint=yes\nIdleSinceHint=1764000000000000\n");
    until_paused(&mut run, &[]);
    run.until("share");
    answer(folder.path(), "IdleHint=no\nIdleSinceHint=1764000000000000\n");
    until_paused(&mut run, &["in_use"]);
    end(run);
}
