//! What other programs take of a graphics card, by Linux's accounts of who uses it: each open file of a card has one in
//! `/proc/PID/fdinfo` (Documentation/gpu/drm-usage-stats.rst; amdgpu, i915, xe and others).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::pci::Address;
use super::sysfs::{entries, text, text_upto};
use crate::limits::{CARD_FILES, FDINFO_FILE};

/// So often all programs are looked through for open files of the card, which takes some milliseconds.
const SEARCH_EVERY: f64 = 5.0;

/// Engines that run shaders: amdgpu's and i915's names, and xe's. Who decodes a film or copies takes no shader.
const SHADERS: [&str; 5] = ["gfx", "compute", "render", "rcs", "ccs"];

/// Tells what others take from what this program takes. The kernel shows the files of programs of the same user
/// only, and those of all to root.
#[derive(Debug)]
pub(super) struct Clients {
    proc: PathBuf,
    card: Address,
    own: u32,
    /// Open files of the card, of any program.
    files: Vec<(u32, PathBuf)>,
    /// When they were looked for, in seconds since the system began.
    searched: Option<f64>,
    before: Option<Look>,
}

/// The accounts at one moment, by the kernel's number for each. Several files may share one.
#[derive(Debug)]
struct Look {
    at: f64,
    accounts: BTreeMap<u64, Account>,
}

#[derive(Debug, Clone, Default)]
struct Account {
    is_own: bool,
    engines: BTreeMap<&'static str, Engine>,
}

/// What was used of an engine so far: nanoseconds, or its cycles out of all cycles.
#[derive(Debug, Clone, Copy, Default)]
struct Engine {
    nanoseconds: Option<f64>,
    cycles: Option<f64>,
    total_cycles: Option<f64>,
    /// How many of its kind there are.
    capacity: Option<f64>,
}

impl Clients {
    pub(super) fn below(proc: &Path, card: Address, own: u32) -> Self {
        Self { proc: proc.to_owned(), card, own, files: Vec::new(), searched: None, before: None }
    }

    /// The part of the busiest engine that others had since the last look. `None` at the first, and while no account of
    /// this program shows that the driver keeps any.
    pub(super) fn others_percent(&mut self) -> Option<f64> {
        let now = self.look()?;
        let before = self.before.replace(now)?;
        let now = self.before.as_ref()?;
        let counts = |account: &Account| account.is_own && !account.engines.is_empty();
        if !now.accounts.values().any(counts) {
            return None;
        }
        let elapsed = now.at - before.at;
        let mut used: BTreeMap<&str, f64> = BTreeMap::new();
        for (client, account) in now.accounts.iter().filter(|(_, account)| !account.is_own) {
            // Who is new is known from the next look on.
            let Some(earlier) = before.accounts.get(client) else { continue };
            for (name, engine) in &account.engines {
                let earlier = earlier.engines.get(name).copied().unwrap_or_default();
                *used.entry(name).or_default() += engine.since(earlier, elapsed).unwrap_or(0.0);
            }
        }
        Some(100.0 * used.into_values().fold(0.0, f64::max).min(1.0))
    }

    fn look(&mut self) -> Option<Look> {
        let uptime = text(&self.proc.join("uptime"))?;
        let at: f64 = uptime.split(' ').next()?.parse().ok()?;
        if self.searched.is_none_or(|searched| at - searched >= SEARCH_EVERY) {
            self.searched = Some(at);
            self.files = self.search();
        }
        let mut accounts: BTreeMap<u64, Account> = BTreeMap::new();
        for (process, file) in &self.files {
            let text = text_upto(file, FDINFO_FILE).unwrap_or_default();
            let Some((client, engines)) = parse(&text, self.card) else { continue };
            let account = accounts.entry(client).or_default();
            account.is_own |= *process == self.own;
            account.engines = engines;
        }
        Some(Look { at, accounts })
    }

    /// Most programs have no such file, and what links to none is not opened.
    fn search(&self) -> Vec<(u32, PathBuf)> {
        let is_card = |(_, link): &(String, PathBuf)| {
            fs::read_link(link).is_ok_and(|file| file.starts_with("/dev/dri"))
        };
        let mut found = Vec::new();
        for (process, folder) in entries(&self.proc, "") {
            let Ok(process) = process.parse() else { continue };
            let files = entries(&folder.join("fd"), "").into_iter().filter(is_card);
            found.extend(files.map(|(number, _)| (process, folder.join("fdinfo").join(number))));
        }
        found.truncate(CARD_FILES);
        found
    }
}

/// The number of an account of `card`, and what was used.
fn parse(text: &str, card: Address) -> Option<(u64, BTreeMap<&'static str, Engine>)> {
    let fields = || text.lines().filter_map(|line| line.strip_prefix("drm-")?.split_once(':'));
    let field = |wanted: &str| fields().find(|(key, _)| *key == wanted).map(|(_, value)| value);
    if field("pdev")?.trim().parse() != Ok(card) {
        return None;
    }
    let client = field("client-id")?.trim().parse().ok()?;
    let mut engines: BTreeMap<&str, Engine> = BTreeMap::new();
    for (key, value) in fields() {
        let Some((what, name)) = key.rsplit_once('-') else { continue };
        let Some(name) = SHADERS.into_iter().find(|shader| *shader == name) else { continue };
        let engine = engines.entry(name).or_default();
        let place = match what {
            "engine" => &mut engine.nanoseconds,
            "cycles" => &mut engine.cycles,
            "total-cycles" => &mut engine.total_cycles,
            "engine-capacity" => &mut engine.capacity,
            _ => continue,
        };
        *place = value.split_whitespace().next().and_then(|number| number.parse().ok());
    }
    Some((client, engines))
}

impl Engine {
    /// The part of `elapsed` seconds that was used. A counter that began anew says nothing.
    fn since(self, earlier: Self, elapsed: f64) -> Option<f64> {
        let grown = |now: Option<f64>, before: Option<f64>| Some(now? - before?);
        let part = match grown(self.nanoseconds, earlier.nanoseconds) {
            Some(nanoseconds) => nanoseconds / 1e9 / elapsed,
            None => {
                grown(self.cycles, earlier.cycles)?
                    / grown(self.total_cycles, earlier.total_cycles)?
            }
        };
        let part = part / self.capacity.unwrap_or(1.0).max(1.0);
        (part.is_finite() && part >= 0.0).then_some(part)
    }
}

/// Accounts as kernels write them, in a procfs of our own; links need Unix.
#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::super::sysfs::write;
    use super::*;

    const CARD: &str = "0000:0b:00.0";
    const US: u32 = 77;

    struct Proc(TempDir);

    impl Proc {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn watch(&self) -> Clients {
            Clients::below(self.0.path(), CARD.parse().unwrap(), US)
        }

        fn at(&self, seconds: f64) -> &Self {
            write(self.0.path(), &[("uptime", &format!("{seconds:.2} 99.99\n"))]);
            self
        }

        /// An open file of a program.
        fn open(&self, process: u32, file: u32, target: &str, account: &str) -> &Self {
            let fd = self.0.path().join(format!("{process}/fd"));
            fs::create_dir_all(&fd).unwrap();
            // It is there already when only its account changes.
            let _ = symlink(target, fd.join(file.to_string()));
            write(self.0.path(), &[(&format!("{process}/fdinfo/{file}"), account)]);
            self
        }

        fn card(&self, process: u32, file: u32, account: &str) -> &Self {
            self.open(process, file, "/dev/dri/renderD128", account)
        }
    }

    /// As amdgpu of Linux 6.1 has it.
    fn amdgpu(client: u32, gfx: u64, compute: u64) -> String {
        format!(
            "pos:\t0\nflags:\t02100002\nmnt_id:\t25\nino:\t567\npasid:\t32771\ndrm-driver:\tamdgpu\n\
             drm-pdev:\t{CARD}\ndrm-client-id:\t{client}\ndrm-memory-vram:\t412 KiB\n\
             drm-engine-gfx:\t{gfx} ns\ndrm-engine-compute:\t{compute} ns\ndrm-engine-dec:\t99 ns\n"
        )
    }

    const MS: u64 = 1_000_000;

    #[test]
    fn what_others_had_of_the_busiest_engine_is_told() {
        let proc = Proc::new();
        proc.at(100.0).card(US, 5, &amdgpu(1, 0, 7 * MS)).card(9, 3, &amdgpu(2, 50 * MS, 0));
        let mut clients = proc.watch();
        assert_eq!(clients.others_percent(), None, "from when?");
        proc.at(101.0).card(US, 5, &amdgpu(1, 0, 900 * MS)).card(
            9,
            3,
            &amdgpu(2, 350 * MS, 100 * MS),
        );
        assert_eq!(clients.others_percent(), Some(30.0));
        // We are paused, he goes on, and another one comes: he counts from his second look on.
        proc.at(103.0).card(9, 3, &amdgpu(2, 1350 * MS, 100 * MS)).card(10, 3, &amdgpu(3, MS, 0));
        assert_eq!(clients.others_percent(), Some(50.0));
        proc.at(105.0);
        assert_eq!(clients.others_percent(), Some(0.0));
        proc.at(106.0).card(10, 3, &amdgpu(3, 401 * MS, 0)).card(9, 3, &amdgpu(2, 2350 * MS, 0));
        assert_eq!(
            clients.others_percent(),
            Some(100.0),
            "what runs side by side is no more than all"
        );
        fs::remove_dir_all(proc.0.path().join("9")).unwrap();
        proc.at(110.0);
        assert_eq!(clients.others_percent(), Some(0.0), "he ended");
    }

    #[test]
    fn an_account_counts_once_however_many_files_share_it() {
        let proc = Proc::new();
        let both = |seconds, ours: u64, his: u64| {
            let (ours, his) = (amdgpu(1, 0, ours * MS), amdgpu(2, his * MS, 0));
            proc.at(seconds).card(US, 5, &ours).card(US, 6, &ours);
            // Whom we gave our file to works for us.
            proc.card(8, 3, &ours).card(9, 3, &his).card(9, 4, &his).card(12, 3, &his);
        };
        both(1.0, 0, 0);
        let mut clients = proc.watch();
        assert_eq!(clients.others_percent(), None);
        both(2.0, 800, 200);
        assert_eq!(clients.others_percent(), Some(20.0));
    }

    #[test]
    fn other_cards_other_files_and_other_engines_do_not_count() {
        let proc = Proc::new();
        let at = |seconds, used: u64| {
            let his = amdgpu(2, used * MS, 0);
            proc.at(seconds).card(US, 5, &amdgpu(1, 0, used * MS));
            proc.card(9, 3, &his.replace(CARD, "0000:0c:00.0"));
            proc.open(9, 4, "/tmp/no card", &his);
            proc.card(
                9,
                5,
                &format!("drm-pdev: {CARD}\ndrm-client-id: 4\ndrm-engine-video: {used} ns\n"),
            );
            proc.card(9, 6, "").card(9, 7, &"drm-pdev: ".repeat(10_000)).card(
                9,
                8,
                "drm-pdev:\ndrm-client-id:\n",
            );
        };
        at(1.0, 0);
        let mut clients = proc.watch();
        assert_eq!(clients.others_percent(), None);
        at(2.0, 900);
        assert_eq!(clients.others_percent(), Some(0.0));
    }

    #[test]
    fn engines_that_count_cycles_and_come_in_numbers_are_understood() {
        let proc = Proc::new();
        let xe = |client: u32, rcs: u64, ccs: u64, all: u64| {
            format!(
                "drm-driver:\txe\ndrm-client-id:\t{client}\ndrm-pdev:\t{CARD}\ndrm-cycles-rcs:\t{rcs}\n\
                 drm-total-cycles-rcs:\t{all}\ndrm-cycles-ccs:\t{ccs}\ndrm-total-cycles-ccs:\t{all}\n\
                 drm-engine-capacity-ccs:\t4\n"
            )
        };
        proc.at(1.0).card(US, 5, &xe(1, 0, 0, 1000)).card(9, 3, &xe(2, 10, 10, 1000));
        let mut clients = proc.watch();
        assert_eq!(clients.others_percent(), None);
        proc.at(2.0).card(US, 5, &xe(1, 0, 4000, 2000)).card(9, 3, &xe(2, 110, 2010, 2000));
        assert_eq!(clients.others_percent(), Some(50.0));
        proc.at(3.0).card(9, 3, &xe(2, 0, 0, 3000));
        assert_eq!(clients.others_percent(), Some(0.0), "counters that began anew say nothing");
        proc.at(4.0).card(9, 3, &xe(2, 900, 0, 3000));
        assert_eq!(clients.others_percent(), Some(0.0), "no time passed, by the card's clock");
    }

    #[test]
    fn a_driver_without_accounts_tells_nothing_of_others() {
        let proc = Proc::new();
        let without = format!("drm-driver: nouveau\ndrm-pdev: {CARD}\ndrm-client-id: 1\n");
        let mut clients = proc.watch();
        assert_eq!(clients.others_percent(), None, "no procfs");
        for seconds in 1..8 {
            proc.at(f64::from(seconds)).card(US, 5, &without).card(9, 3, &amdgpu(2, 0, 0));
            assert_eq!(clients.others_percent(), None);
        }
    }
}
