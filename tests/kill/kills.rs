//! `kill -9` at every moment between a solved block and its answer.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use bitcoin::BlockHash;

use crate::LIMIT;
use crate::life::{Life, Place, Tail};
use crate::node::{Habit, Node};

/// When a run is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aim {
    /// At any time, also while it starts.
    Anytime,
    /// A file is being written.
    Writing,
    /// A block is on disk.
    Stored,
    /// It is in the share log.
    Logged,
    /// The node does not take it.
    Refused,
    /// The node has it, and does not answer.
    Sent,
    /// The node has answered.
    Answered,
    /// The answer is on disk.
    Noted,
    /// The verdict is in the share log.
    Closed,
}

const AIMS: [Aim; 9] = [
    Aim::Anytime,
    Aim::Writing,
    Aim::Stored,
    Aim::Logged,
    Aim::Refused,
    Aim::Sent,
    Aim::Answered,
    Aim::Noted,
    Aim::Closed,
];

/// Where a kill fell, as disk and node show afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fell {
    NothingUnderWay,
    WithinAWrite,
    OnDiskNotInTheLog,
    InTheLogNotWithTheNode,
    WithTheNodeNotAnswered,
    AnsweredNotNoted,
    NotedNotInTheLog,
}

/// All of them.
const MOMENTS: [Fell; 7] = [
    Fell::NothingUnderWay,
    Fell::WithinAWrite,
    Fell::OnDiskNotInTheLog,
    Fell::InTheLogNotWithTheNode,
    Fell::WithTheNodeNotAnswered,
    Fell::AnsweredNotNoted,
    Fell::NotedNotInTheLog,
];

/// Kills after which the share log is put aside: it is read again after each.
const KILLS_IN_A_LOG: u64 = 25;

struct World {
    place: Place,
    node: Node,
    random: fastrand::Rng,
    fell: BTreeMap<Fell, u32>,
    /// Blocks that were on disk without an answer when a run was killed.
    open: BTreeSet<BlockHash>,
    /// All of those, and how often the node had been given each when that was so last.
    ever_open: BTreeMap<BlockHash, u32>,
    /// All blocks that were on disk at a kill.
    known: BTreeSet<BlockHash>,
    torn: usize,
    /// Bytes of the share log when it was looked at last.
    log_length: usize,
    /// Of share logs that were put aside, with what each follows.
    found: BTreeMap<BlockHash, BlockHash>,
}

#[test]
fn fifty_kills_lose_no_block() {
    World::new(0x5eed).survives(50);
}

#[test]
#[ignore = "takes half an hour: for every night"]
fn a_thousand_kills_lose_no_block() {
    let number = |name: &str, usual| env::var(name).map_or(usual, |number| number.parse().unwrap());
    World::new(number("ADIT_TEST_SEED", 1)).survives(number("ADIT_TEST_KILLS", 1000));
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            place: Place::new(),
            node: Node::start(seed),
            random: fastrand::Rng::with_seed(seed),
            fell: BTreeMap::new(),
            open: BTreeSet::new(),
            ever_open: BTreeMap::new(),
            known: BTreeSet::new(),
            torn: 0,
            log_length: 0,
            found: BTreeMap::new(),
        }
    }

    #[expect(clippy::print_stdout, reason = "the figures of the test")]
    fn survives(mut self, kills: u64) {
        let begun = Instant::now();
        let (mut done, mut torn) = (0, 0);
        let mut aims = AIMS.into_iter().cycle();
        // Some moments last some microseconds: where chance missed one it gets more tries.
        while done < kills || (self.missed().is_some() && done < kills * 4) {
            let aim = match self.missed() {
                Some(_) if done >= kills => AIMS[1 + self.random.usize(..AIMS.len() - 1)],
                _ => aims.next().unwrap(),
            };
            self.live(aim);
            self.examine();
            self.node.set(None);
            done += 1;
            if done.is_multiple_of(KILLS_IN_A_LOG) {
                torn += self.put_aside();
            }
            if self.random.u32(..4) == 0 {
                self.tear();
            }
        }
        self.calm();
        torn += self.put_aside();
        assert_eq!(self.missed(), None, "{:?}", self.fell);
        let state = self.node.state();
        for habit in
            [Habit::Answer, Habit::Late, Habit::Drop, Habit::Deaf, Habit::Busy, Habit::Hold]
        {
            assert!(state.did.contains_key(&habit), "{habit:?} is not among {:?}", state.did);
        }
        println!(
            "{done} kills in {:.0} s: {:?}\n{} shares in the log and {} blocks on disk, all of them with the node; {} were on disk without an answer at a kill \
             and were submitted after it; {torn} torn lines; the node: {:?}",
            begun.elapsed().as_secs_f64(),
            self.fell,
            self.found.len(),
            state.came.len(),
            self.ever_open.len(),
            state.did,
        );
    }

    fn missed(&self) -> Option<Fell> {
        MOMENTS.into_iter().find(|moment| !self.fell.contains_key(moment))
    }

    /// A run that is killed at a moment.
    fn live(&mut self, aim: Aim) {
        let tail = Tail::of(&self.place.log());
        // What an earlier run left is given to the node first, whatever is to come.
        self.node.set((aim != Aim::Anytime).then_some(Habit::Answer));
        let before: BTreeMap<BlockHash, u32> = {
            let state = self.node.state();
            self.open.iter().map(|hash| (*hash, state.came(*hash).taken)).collect()
        };
        let old = names(&self.place);
        let life = self.place.start(&mut self.place.solo(self.node.address));
        if aim == Aim::Anytime {
            thread::sleep(Duration::from_micros(self.random.u64(..1_500_000)));
        } else {
            self.node.wait_until("blocks of the run before are submitted again", |state| {
                before.iter().all(|(hash, taken)| state.came(*hash).taken > *taken)
            });
            self.reach(aim, &life, (&tail, &old));
        }
        // Around the moment, not always as soon as it can be seen.
        let wait = Duration::from_micros(self.random.u64(..200));
        let begun = Instant::now();
        while self.random.bool() && begun.elapsed() < wait {
            std::hint::spin_loop();
        }
        life.kill();
    }

    /// Waits for the moment.
    fn reach(&self, aim: Aim, life: &Life, (tail, old): (&Tail, &BTreeSet<String>)) {
        let known: BTreeSet<BlockHash> = self.node.state().came.keys().copied().collect();
        let place = &self.place;
        let habit = match aim {
            Aim::Sent => Some(Habit::Hold),
            Aim::Refused => Some(Habit::Deaf),
            _ => None,
        };
        self.node.set(habit);
        let has_new = |is_meant: fn(&str) -> bool| {
            names(place).iter().any(|name| is_meant(name) && !old.contains(name))
        };
        let node = &self.node;
        let did = |habit| node.state().did.get(&habit).copied().unwrap_or_default();
        let (held, deaf) = (did(Habit::Hold), did(Habit::Deaf));
        let answered = || {
            let state = node.state();
            let mut new = state.came.iter().filter(|(hash, _)| !known.contains(*hash));
            new.find(|(_, came)| came.answered > 0).map(|(hash, _)| *hash)
        };
        let is_reached = || match aim {
            Aim::Anytime => true,
            Aim::Writing => has_new(|name| name.starts_with(".tmp")),
            Aim::Stored => {
                has_new(|name| Path::new(name).extension().is_some_and(|kind| kind == "json"))
            }
            Aim::Logged => tail.has("\"event\":\"found\""),
            Aim::Refused => did(Habit::Deaf) > deaf,
            Aim::Sent => did(Habit::Hold) > held,
            Aim::Answered => answered().is_some(),
            Aim::Noted => answered().is_some_and(|hash| {
                let path = place.blocks().join(format!("{hash}.json"));
                fs::read_to_string(path).is_ok_and(|text| text.contains("\"answer\":\""))
            }),
            Aim::Closed => tail.has("\"event\":\"verdict\""),
        };
        let begun = Instant::now();
        while !is_reached() {
            assert!(begun.elapsed() < LIMIT, "{aim:?} does not come: {}", life.said());
            // What is waited for is over soon, but without any rest nobody else gets the lock.
            thread::sleep(Duration::from_micros(20));
        }
    }

    /// What must be so after each kill.
    fn examine(&mut self) {
        let (disk, logged) = (self.place.disk(), self.place.logged());
        let state = self.node.state();
        let is_logged =
            |hash: &BlockHash| logged.found.contains_key(hash) || self.found.contains_key(hash);
        for (hash, previous) in &logged.found {
            let is_safe = disk.blocks.contains_key(hash) || disk.solved.contains(previous);
            assert!(
                is_safe,
                "{hash} is told of, and neither it nor another block there is on disk"
            );
        }
        for (hash, came) in &state.came {
            if came.taken > 0 {
                assert!(disk.blocks.contains_key(hash), "{hash} was sent before it was on disk");
                // One that was on disk when a run was killed is submitted by the next one.
                let is_told = is_logged(hash) || self.ever_open.contains_key(hash);
                assert!(is_told, "{hash} was sent before it was in the log");
            }
        }
        let mut fell = Fell::NothingUnderWay;
        for (hash, is_answered) in &disk.blocks {
            // One of an earlier run has no share any more.
            if !self.known.insert(*hash) {
                continue;
            }
            let came = state.came(*hash);
            fell = match (is_answered, came.answered > 0) {
                (true, _) if !logged.closed.contains(hash) => Fell::NotedNotInTheLog,
                (true, _) => continue,
                (false, _) if !is_logged(hash) => Fell::OnDiskNotInTheLog,
                (false, true) => Fell::AnsweredNotNoted,
                (false, false) if came.taken > 0 => Fell::WithTheNodeNotAnswered,
                (false, false) => Fell::InTheLogNotWithTheNode,
            };
        }
        if disk.unfinished > 0 {
            fell = Fell::WithinAWrite;
        }
        *self.fell.entry(fell).or_default() += 1;
        let open = disk.blocks.iter().filter(|(_, is_answered)| !**is_answered);
        self.open = open.map(|(hash, _)| *hash).collect();
        for hash in &self.open {
            self.ever_open.insert(*hash, state.came(*hash).taken);
        }
        drop(state);
        self.notice_torn_end();
        self.verify();
    }

    /// A kill tears a line where the kernel is between two pages of it, which may take milliseconds on a busy disk.
    fn notice_torn_end(&mut self) {
        let text = fs::read(self.place.log()).unwrap_or_default();
        let is_new = text.len() != self.log_length;
        self.torn += usize::from(is_new && text.last().is_some_and(|last| *last != b'\n'));
        self.log_length = text.len();
    }

    /// The share log can be read, and nothing is wrong in it but lines that the test or a kill cut off.
    fn verify(&self) {
        if !self.place.log().exists() {
            return;
        }
        let output = self.place.verify();
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(told.contains(" right, 0 wrong; "), "{told}");
        assert!(told.contains(&format!(" runs, {} torn, 0 corrupt", self.torn)), "{told}");
        assert!(output.status.success(), "{told}");
    }

    /// Cuts the last line off in its middle, as a machine does that loses power.
    fn tear(&mut self) {
        let text = fs::read(self.place.log()).unwrap_or_default();
        let mut lines = text.split_inclusive(|byte| *byte == b'\n');
        let Some(last) = lines.next_back().filter(|last| last.ends_with(b"\n")) else { return };
        // What was told of must stay known to the test.
        self.note();
        let cut = self.random.usize(2..last.len());
        let mut file = fs::OpenOptions::new().write(true).open(self.place.log()).unwrap();
        file.set_len((text.len() - cut) as u64).unwrap();
        file.flush().unwrap();
        self.torn += 1;
        self.log_length = text.len() - cut;
        self.verify();
    }

    /// Remembers what the share log says.
    fn note(&mut self) {
        self.found.extend(self.place.logged().found);
    }

    /// Puts the share log aside.
    fn put_aside(&mut self) -> usize {
        self.verify();
        self.note();
        fs::remove_file(self.place.log()).unwrap();
        self.log_length = 0;
        std::mem::take(&mut self.torn)
    }

    /// A last run, which ends well: whatever is on disk has its answer then.
    fn calm(&mut self) {
        self.node.set(Some(Habit::Answer));
        let mut life = self.place.start(&mut self.place.solo(self.node.address));
        let place = &self.place;
        let known = place.logged().found.len();
        let status = life.wait_until("every block has its answer", || {
            place.logged().found.len() > known
                && place.disk().blocks.values().filter(|is_answered| !**is_answered).count() <= 1
        });
        assert_eq!(status, None, "{}", life.said());
        life.signal("TERM");
        assert_eq!(life.end().code(), Some(0), "{}", life.said());
        self.note();
        let (disk, state) = (self.place.disk(), self.node.state());
        for (hash, taken) in &self.ever_open {
            assert!(state.came(*hash).taken > *taken, "{hash} was not submitted after the kill");
            assert!(disk.blocks[hash], "{hash} has no answer");
        }
        for (hash, previous) in &self.found {
            // A second block of its height is stale, and stays here.
            let is_second = !disk.blocks.contains_key(hash) && disk.solved.contains(previous);
            assert!(is_second || state.came(*hash).taken > 0, "{hash} never reached the node");
        }
        for hash in disk.blocks.keys() {
            assert!(state.came(*hash).taken > 0, "{hash} is on disk and never reached the node");
        }
    }
}

/// The files where blocks are.
fn names(place: &Place) -> BTreeSet<String> {
    let entries = fs::read_dir(place.blocks()).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
}
