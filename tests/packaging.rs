//! What comes with the program: completions, man pages, the systemd unit, the Dockerfile.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::print_stdout, reason = "a skipped check says so")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const ADIT: &str = env!("CARGO_BIN_EXE_adit");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn adit(arguments: &[&str]) -> Output {
    let output = Command::new(ADIT).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    output
}

/// The output of a tool that not every machine has.
fn tool(name: &str, arguments: &[&str], input: &[u8]) -> Option<Output> {
    let mut command = Command::new(name);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        println!("skipped a check: {name} is not installed");
        return None;
    };
    child.stdin.take().unwrap().write_all(input).unwrap();
    Some(child.wait_with_output().unwrap())
}

#[test]
fn shells_complete_commands_and_options() {
    for (shell, check) in [
        ("bash", Some(&["bash", "-n"])),
        ("zsh", Some(&["zsh", "-n"])),
        ("fish", Some(&["fish", "-n"])),
        ("powershell", None),
        ("elvish", None),
    ] {
        let script = adit(&["completions", shell]).stdout;
        let text = String::from_utf8(script.clone()).unwrap();
        for word in ["mine", "selftest", "share-log"] {
            assert!(text.contains(word), "{shell} does not know {word}");
        }
        let checked = check.and_then(|[name, argument]| tool(name, &[argument], &script));
        if let Some(output) = checked {
            assert!(output.status.success(), "{shell}: {output:?}");
        }
    }
}

#[test]
fn every_command_has_a_man_page_that_can_be_set() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    adit(&["man", pages.to_str().unwrap()]);
    let help = String::from_utf8(adit(&["--help"]).stdout).unwrap();
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let (commands, _) = commands.split_once("\n\n").unwrap();
    // Each name stands two columns in; what continues a line stands further in.
    let names = commands.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let names: Vec<&str> = names.filter(|name| !name.is_empty() && *name != "help").collect();
    assert!(names.contains(&"mine") && names.contains(&"config"), "{names:?}");
    for name in names {
        let path = pages.join(format!("adit-{name}.1"));
        let page = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if let Some(set) = tool("groff", &["-man", "-Kutf8", "-Tutf8", "-ww"], &page) {
            let warned = String::from_utf8_lossy(&set.stderr);
            assert!(set.status.success() && warned.is_empty(), "{name}: {warned}");
        }
    }
    let mine = fs::read_to_string(pages.join("adit-mine.1")).unwrap();
    assert!(mine.contains("\\-\\-share\\-log"), "{mine}");
}

/// The lines of the unit that set something.
fn unit() -> String {
    fs::read_to_string(root().join("packaging/adit.service")).unwrap()
}

#[test]
fn the_unit_is_one_that_systemd_takes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("adit.service");
    // The program is not installed here.
    let text = unit().replace("/usr/local/bin/adit", ADIT);
    fs::write(&file, text).unwrap();
    let arguments = ["verify", "--man=no", file.to_str().unwrap()];
    if let Some(output) = tool("systemd-analyze", &arguments, b"") {
        let said = String::from_utf8_lossy(&output.stderr);
        let ours: Vec<&str> = said.lines().filter(|line| line.contains("adit.service")).collect();
        assert!(output.status.success() && ours.is_empty(), "{said}");
    }
}

#[test]
fn unit_and_image_name_what_is_there() {
    let unit = unit();
    let dockerfile = fs::read_to_string(root().join("packaging/Dockerfile")).unwrap();
    assert!(unit.contains("ExecStart=/usr/local/bin/adit mine\n"));
    assert!(dockerfile.contains("ENTRYPOINT [\"adit\"]\nCMD [\"mine\"]\n"));
    for text in [&unit, &dockerfile] {
        for variable in ["ADIT_CONFIG", "ADIT_STATE_DIR", "ADIT_CACHE_DIR"] {
            assert!(text.contains(variable), "{variable}");
        }
    }
    assert!(dockerfile.contains("\nUSER 10001:10001\n"), "it must not run as root");
    // Variables that a program reads are in its source.
    let sources: String = [
        "src/cli/config/layers.rs",
        "src/cli/mine/lines.rs",
        "src/device/tune/cache.rs",
        "src/cli/tuning.rs",
    ]
    .iter()
    .map(|path| fs::read_to_string(root().join(path)).unwrap_or_default())
    .collect();
    for variable in ["ADIT_CONFIG", "ADIT_STATE_DIR", "ADIT_CACHE_DIR"] {
        assert!(sources.contains(&format!("\"{variable}\"")), "nothing reads {variable}");
    }
    let copied =
        dockerfile.lines().filter_map(|line| line.strip_prefix("COPY --from=build /adit/"));
    let copied: Vec<PathBuf> = copied.map(|line| line.split(' ').next().unwrap().into()).collect();
    assert_eq!(copied, [PathBuf::from("target/release/adit")]);
}

/// A service manager hears when mining begins, that it goes on, and when it ends.
#[cfg(target_os = "linux")]
#[test]
fn the_service_manager_hears_of_a_run() {
    use std::os::unix::net::UnixDatagram;
    use std::time::Duration;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    fs::write(folder.path().join("adit.toml"), "").unwrap();
    let mut child = Command::new(ADIT)
        .args(["mine", "--device", "cpu", "--for", "3s"])
        .env("ADIT_CONFIG", folder.path().join("adit.toml"))
        .env("ADIT_STATE_DIR", folder.path())
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "1500000")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let (mut heard, mut is_reloading) = (Vec::new(), false);
    let mut buffer = [0; 256];
    while heard.last().is_none_or(|line| line != "STOPPING=1") {
        let length = socket.recv(&mut buffer).unwrap();
        heard.push(String::from_utf8_lossy(&buffer[..length]).trim().to_owned());
        if !std::mem::replace(&mut is_reloading, true) {
            let hang_up = format!("kill -HUP {}", child.id());
            assert!(Command::new("sh").args(["-c", &hang_up]).status().unwrap().success());
        }
    }
    assert!(child.wait().unwrap().success());
    assert_eq!(heard[0], "READY=1");
    let signs = heard.iter().filter(|line| *line == "WATCHDOG=1").count();
    assert!(signs >= 2, "{heard:?}");
    let reloaded = heard.iter().position(|line| line.starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(heard[reloaded.unwrap() + 1], "READY=1", "{heard:?}");
    assert_eq!(signs + 4, heard.len(), "{heard:?}");
}
