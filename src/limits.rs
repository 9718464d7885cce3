//! The upper bounds of what input, devices and runs can grow to, each with its reason.

use std::time::Duration;

/// Nonces of one header: the field is 32 bits wide.
pub const NONCES_PER_HEADER: u64 = 1 << 32;

/// Hits that one dispatch can report: a report of 2 KiB. More hits are counted but not kept, and the
/// range is split and scanned again. Must equal `MAX_HITS` in `shaders/abi.wgsl` (a test compares them).
pub const HITS_PER_BATCH: usize = 252;

/// Job words that one kernel may read from its parameters: `array<vec4<u32>, 8>` in `shaders/abi.wgsl`.
pub const JOB_SLOTS: usize = 32;

/// Fewest headers that the verlane layout takes: one row of its table serves so many hashes, and a batch
/// of [`VERLANE_ROWS`] still fills a GPU for milliseconds.
pub const VERLANE_FEWEST_HEADERS: u32 = 512;

/// Most headers that the verlane layout takes: the 16 version bits of BIP 320, a table of some MiB.
pub const VERLANE_MOST_HEADERS: u32 = 1 << 16;

/// Most nonces in a batch of the verlane layout: one table of 6 MiB for all dispatches, and rows of
/// workgroups that fit one dimension of a grid.
pub const VERLANE_ROWS: u32 = 1 << 15;

/// Rows of the verlane layout's table that one dispatch sees through uniform memory: 12 KiB of the 16 that
/// every adapter binds. Must equal `WINDOW` in `shaders/verlane_uniform.wgsl` (a test compares them).
pub const VERLANE_WINDOW: u32 = 64;

/// Dispatches in flight on one GPU. Two keep it busy, the third absorbs host jitter.
pub const DISPATCHES_IN_FLIGHT: usize = 3;

/// Fewest hashes in a batch while the batch size follows its time target.
pub const MIN_BATCH: u64 = 1 << 8;

/// Most hashes in a batch: a quarter of a header, so that index arithmetic in the shader cannot wrap.
pub const MAX_BATCH: u64 = 1 << 30;

/// No batch should run longer. Windows resets a GPU after 2 s; a desktop stutters long before.
pub const MAX_BATCH_TIME: Duration = Duration::from_millis(250);

/// A batch that has not ended after this long, or after [`BATCH_PATIENCE`] times what it should take, is
/// lost, and so is its device.
pub const BATCH_DEADLINE: Duration = Duration::from_secs(10);

/// The same for a batch of the self-test: some drivers compile at the first dispatch, software adapters
/// slowly.
pub const SELFTEST_DEADLINE: Duration = Duration::from_secs(60);

/// How long the self-test of a user's kernel may be silent: one that loops for ever must be told from one
/// that is slow, and the suite takes a software adapter a second.
pub const OWN_KERNEL_DEADLINE: Duration = Duration::from_secs(30);

/// How many times longer than expected a batch may take before its device counts as hung.
pub const BATCH_PATIENCE: u32 = 20;

/// The longest rest of a device that works a part of the time: a driver that says nothing for longer counts as
/// hung.
pub const LONGEST_REST: Duration = Duration::from_secs(5);

/// How long a device that was told to stop may take for its last batch before its thread is left alone.
pub const STOP_DEADLINE: Duration = Duration::from_secs(2);

/// Longest wait for a graphics driver to list its adapters or to open one.
pub const DRIVER_DEADLINE: Duration = Duration::from_secs(120);

/// Longest wait for a driver to say whether its GPU drives a display.
pub const DISPLAY_DEADLINE: Duration = Duration::from_secs(5);

/// Longest wait for a driver to compile one kernel without running it. Software adapters take seconds.
pub const COMPILE_DEADLINE: Duration = Duration::from_secs(120);

/// Faults (lost dispatches, wrong hits) of one device in a run before it is given no more work.
pub const FAULTS_PER_DEVICE: u32 = 3;

/// How long after it broke a device is opened again: a reset of the driver is over soon, another program's use of all
/// memory is not. The last one repeats.
pub const REOPEN_AFTER: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
];

/// How often a device that works gives known answers: some faults begin with heat or age, and look like bad luck.
pub const KNOWN_ANSWERS_EVERY: Duration = Duration::from_secs(600);

/// A device that breaks so often...
pub const LOSSES_BEFORE_BENCH: usize = 5;

/// ...within this time...
pub const LOSS_WINDOW: Duration = Duration::from_secs(600);

/// ...is left alone for this long. One that works for [`LOSS_WINDOW`] counts as well again.
pub const BENCH: Duration = Duration::from_secs(1800);

/// Threads that hang in a driver's call for ever and are left alone. After more of them only a restart of the program
/// helps, and no device is opened any more.
pub const HUNG_THREADS: usize = 2;

/// Devices in one run. More are refused: the ledger and the displays are sized for a desktop.
pub const DEVICES: usize = 64;

/// Intervals in all bands of the ledger of one job. A job that shatters into more is a bug; it ends incomplete.
pub const LEDGER_INTERVALS: usize = 1 << 16;

/// Length of a header line on standard input; a header is 160 digits.
pub const HEADER_LINE: u64 = 4096;

/// Hits that `scan` keeps for one header. An easier target than this allows is refused in advance by
/// the expected count, and a scan that passes it ends with an error rather than with a partial list.
pub const HITS_PER_SCAN: usize = 1 << 20;

/// Readings of the sensors of a device that a benchmark keeps: an hour at five a second. Of a longer run every
/// second one is dropped.
pub const READINGS: usize = 18_000;

/// Rounds that a stress test keeps of a kernel: an hour of them as they are; of longer tests neighbours are put
/// together.
pub const STRESS_ROUNDS: usize = 1800;

/// Messages that wait until a full-screen view ends.
pub const MESSAGES_HELD: usize = 200;

/// Bytes of a saved benchmark. One of an hour with ten kernels has some MiB.
pub const BENCHMARK_FILE: u64 = 64 << 20;

/// Kernels times devices times batch lengths of one benchmark: each is open during the run.
pub const SUBJECTS: usize = 256;

/// The longest measurement of one subject of a benchmark.
pub const BENCHMARK_TIME: Duration = Duration::from_secs(24 * 3600);

/// The longest stress test. Its rounds are bounded, and so are its readings: longer ones only get coarser.
pub const STRESS_TIME: Duration = Duration::from_secs(30 * 24 * 3600);

/// Openings of one subject of a benchmark.
pub const OPENINGS: u32 = 1000;

/// Length of a saved tuning result. One of a hundred kernels takes 40 KiB.
pub const TUNING_FILE: u64 = 1 << 20;

/// The longest tune of a device. What is not clear after ten minutes is not worth knowing.
pub const TUNING_BUDGET: Duration = Duration::from_secs(600);

/// Bytes of a user's kernel. The longest of adit's own, 32 headers one after the other, has 1.3 MB.
pub const KERNEL_TEXT: usize = 2 << 20;

/// Operations of a user's kernel with all functions in place of their calls: four times what the longest
/// of adit's own has. Compilers put them there, and run out of memory where each function calls the next
/// one twice.
pub const KERNEL_EXPANDED: usize = 1 << 21;

/// Brackets of a user's kernel inside one another. This and the next three keep its compiler, which
/// recurses, within half of the smallest stack of a thread, 1 MiB on Windows.
pub const KERNEL_NESTING: usize = 64;

/// Operators in one statement of a user's kernel: each can be a level of its expression.
pub const KERNEL_OPERATORS: usize = 256;

/// Times that `else if` stands in a user's kernel: each is a block inside the one before.
pub const KERNEL_ELSE_IFS: usize = 64;

/// Declarations of a user's kernel outside functions: each can need the next.
pub const KERNEL_DECLARATIONS: usize = 512;

/// Bytes of the private variables of a user's kernel, and of those of each function: what WGSL promises.
pub const THREAD_MEMORY: u32 = 8192;

/// Bytes that a workgroup of a user's kernel may share: what adit asks of an adapter (a test compares
/// them).
pub const WORKGROUP_MEMORY: u32 = 16352;

/// Bytes of a line from a Stratum server. Real ones with long coinbases have some 10 KiB.
pub const STRATUM_LINE: usize = 1 << 20;

/// Brackets inside one another in JSON from the network: the deepest real message has 4.
pub const JSON_DEPTH: usize = 16;

/// Items of an array in JSON from the network, transactions of a template apart.
pub const JSON_ITEMS: usize = 1024;

/// Bytes of a pool's name for a job or a session.
pub const POOL_JOB_ID: usize = 256;

/// Bytes of each part of a coinbase around the extranonce. Pools that pay many miners have some KiB.
pub const COINBASE_PART: usize = 100_000;

/// Hashes in a merkle branch: 2^64 transactions.
pub const MERKLE_BRANCH: usize = 64;

/// Bytes of extranonce1. Proxies give 16.
pub const EXTRANONCE1: usize = 32;

/// Bytes of extranonce2; 0 is legal.
pub const EXTRANONCE2: usize = 16;

/// Jobs of a session whose shares can still be judged.
pub const JOBS_REMEMBERED: usize = 64;

/// Shares sent to a pool without an answer yet; further ones wait until answers come.
pub const UNANSWERED: usize = 4096;

/// Shares of a source that wait for their verdict; more are withheld.
pub const OUTBOX: usize = 10_000;

/// How long a share waits for its verdict before it counts as expired.
pub const VERDICT_WAIT: Duration = Duration::from_secs(120);

/// A source that says nothing for so long is dead: pools send a job every minute.
pub const SILENT_SOURCE: Duration = Duration::from_secs(90);

/// Shares of one source in a second. More come only from absurd difficulties, and help nobody.
pub const SHARES_PER_SECOND: u32 = 2000;

/// Messages of a session in a minute that make no sense before it ends.
pub const NONSENSE_PER_MINUTE: u32 = 10;

/// First and longest wait before a source is tried again; it doubles in between.
pub const RECONNECT: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

/// A connection that lived for so long was a good one: the next wait is the first again.
pub const STABLE_CONNECTION: Duration = Duration::from_secs(60);

/// Least time between two moves that a pool orders by `client.reconnect`.
pub const ORDERED_RECONNECT: Duration = Duration::from_secs(60);

/// Longest wait for a connection, with its proxy and TLS.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(15);

/// Longest wait for a write to a source.
pub const WRITE_DEADLINE: Duration = Duration::from_secs(30);

/// Sources of a run at a time.
pub const SOURCES: usize = 16;

/// Sources that a run ever has: the accounts of those that were removed stay.
pub const SOURCES_EVER: usize = 256;

/// Least time between two jobs that devices are given: a flood of jobs is as few as that.
pub const JOB_INTERVAL: Duration = Duration::from_millis(20);

/// Bytes of a template or any other answer of a node: blocks have 4 MB, twice that in hex.
pub const NODE_ANSWER: usize = 32 << 20;

/// Transactions of a template: a block of 4 MB has fewer.
pub const TEMPLATE_TRANSACTIONS: usize = 65_535;

/// Bytes of all transactions of a template: a block may weigh four million, and a byte weighs one at least.
pub const TEMPLATE_BYTES: usize = 4_000_000;

/// Characters of the name that a node gives a template for its long poll: Core's have 64 and a number.
pub const LONGPOLL_ID: usize = 256;

/// Bytes of the miner's text in his coinbase. Height and extranonce take up to 19 of the script's 100; the
/// rest is for what a node adds.
pub const COINBASE_TAG: usize = 64;

/// Jobs of a node whose solutions can still be made blocks. Each may hold a template of some MB, and no
/// device works on any but the last one for longer than a batch takes.
pub const TEMPLATES_REMEMBERED: usize = 8;

/// Solved blocks that wait for their answer; more stay on disk until the next start.
pub const SOLVED_BLOCKS: usize = 64;

/// Previous blocks for which a solution was given to the node.
pub const SOLVED_TIPS: usize = 64;

/// Longest wait for a node's answer to a small question.
pub const NODE_CALL: Duration = Duration::from_secs(15);

/// Longest wait for a template, a verified proposal or a submitted block: a node that checks another block
/// at the same time may take long.
pub const NODE_WORK: Duration = Duration::from_secs(60);

/// How long a long poll may last. Bitcoin Core answers after a minute or two wherever there are new
/// transactions; on a quiet chain the connection shows by this that it still lives.
pub const LONGPOLL: Duration = Duration::from_secs(600);

/// Failures of a node in a row, while there is a job, before the source counts as down.
pub const NODE_FAILURES: u32 = 3;

/// First and longest wait before a solved block is given to its node again; it doubles in between.
pub const BLOCK_RETRY: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(10)];

/// How long, and how often at least, a solved block is tried before its share counts as expired. The block
/// itself is tried on.
pub const BLOCK_PATIENCE: (Duration, u32) = (Duration::from_secs(600), 50);

/// Wait between two tries of a block after that.
pub const BLOCK_RETRY_LATE: Duration = Duration::from_secs(60);

/// Text of a pool or node that is shown or kept, in characters.
pub const FOREIGN_TEXT: usize = 200;

/// Bytes of the share log before it is put aside, about 70,000 shares; that and the one before it take twice as
/// much disk.
pub const SHARE_LOG_FILE: u64 = 64 << 20;

/// Bytes of a line of the share log. The name of a job and the words of a source are foreign text, bounded to less.
pub const SHARE_LOG_LINE: u64 = 64 << 10;

/// Words of sources that wait to be shown; more are dropped, verdicts apart.
pub const INBOX: usize = 1024;
/// Bytes of the id of a pool's request, where it is text: a UUID has 36.
pub const REQUEST_ID: usize = 64;

/// Seconds by which a job's time may be moved ahead: blocks more than 7200 s in the future are refused,
/// and clocks differ.
pub const TIME_AHEAD: u32 = 7000;

/// Longest wait for a pool's answers to subscription and login. A login can take a look-up of an address.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(30);

/// Answers to a pool's requests in a second, and as many messages and warnings about it: more help nobody.
pub const TALK_PER_SECOND: u32 = 10;

/// Hashes of shares of a session by which one that is found twice is known: half a minute of the most
/// that are sent, in 5 MB.
pub const SHARES_REMEMBERED: usize = 1 << 16;

/// Seconds between shares of one source that a miner asks a pool for, when it may suggest a difficulty.
pub const SHARE_INTERVAL: f64 = 3.0;
// The practice pool listens, so whoever reaches it may send it anything. All its bounds together keep a
// pool full of the worst clients below 1 GiB.

/// Connections to the practice pool. Those beyond are closed at once.
pub const POOL_CONNECTIONS: usize = 128;

/// Bytes of a line from a miner. Real ones have some 200.
pub const POOL_LINE: usize = 16 << 10;

/// Bytes that wait for a miner who does not read: a thousand jobs. With more it is cut off.
pub const POOL_UNREAD: usize = 1 << 20;

/// How long a miner may take to log in.
pub const POOL_LOGIN: Duration = Duration::from_secs(30);

/// How long the last words to a miner may take.
pub const POOL_FAREWELL: Duration = Duration::from_secs(1);

/// Worker names that one connection may log in.
pub const POOL_LOGINS: usize = 64;

/// Worker names with counters of their own; later ones share counters.
pub const POOL_WORKERS: usize = 1000;

/// Accepted shares that a session remembers, so that it knows a duplicate: 2 MiB of hashes. Its oldest
/// jobs are forgotten with theirs, and a job has half as many at most.
pub const POOL_SHARES: usize = 1 << 15;

/// Sessions that lost their connection and can be resumed.
pub const POOL_SESSIONS: usize = 64;

/// For how long they can be resumed.
pub const POOL_RESUME: Duration = Duration::from_secs(600);

/// Jobs that the practice pool gives out at one moment when it is told to give out many in a second.
pub const POOL_JOBS_AT_ONCE: usize = 1000;

/// The easiest and the hardest difficulty of the practice pool. At the easiest one hash in four is a
/// share; the hardest is beyond all the world's miners.
pub const POOL_DIFFICULTY: [f64; 2] = [1e-9, 1e18];

/// Pieces of input that wait for the practice pool, 16 KiB each; then miners wait.
pub const POOL_INPUTS: usize = 64;

/// Reports of devices that are dealt with before the sources have their turn.
pub const EVENTS_AT_ONCE: usize = 256;

/// Shares in a second that devices look for at most: of an easier target only the harder hashes count. Half of
/// what may be sent.
pub const SHARES_SOUGHT: f64 = 1000.0;

/// Bytes of a file of Linux's sysfs: the kernel writes a page at most.
pub const SYSFS_FILE: u64 = 4096;

/// Seats of a Wayland display: each is a keyboard, a pointer and who uses them.
pub const SEATS: usize = 64;

/// Bytes of an answer of `loginctl`: two properties.
pub const LOGIND_ANSWER: u64 = 1024;

/// How long it may take; it takes some milliseconds.
pub const LOGIND_PATIENCE: Duration = Duration::from_secs(2);

/// Entries of a folder of sysfs or procfs that are looked at: processors, processes, open files of one.
pub const SYSFS_ENTRIES: usize = 4096;

/// Bytes of the account of an open file of a graphics card: a dozen engines and memories have some 2,000.
pub const FDINFO_FILE: u64 = 16 << 10;

/// Open files of graphics cards that are watched. A desktop has some dozens.
pub const CARD_FILES: usize = 1024;

/// Bytes of adit.toml: the one that `adit config init` writes has some 10 KiB.
pub const CONFIG_FILE: u64 = 1 << 20;

/// Mistakes of adit.toml that are told at once.
pub const CONFIG_MISTAKES: usize = 20;

/// Shares that a snapshot of a run shows.
pub const SHARES_SHOWN: usize = 50;

/// How long a hook may take: a program, or the answer of a web address.
pub const HOOK_PATIENCE: Duration = Duration::from_secs(10);

/// Hooks that wait for those before them. One more is only counted.
pub const HOOKS_WAITING: usize = 16;

/// Lines of its log that a snapshot of a run shows.
pub const LOG_SHOWN: usize = 100;

/// Batches of a device of which it is told how long they took: at 12 ms those of the last six seconds.
pub const BATCHES_TIMED: usize = 512;

/// Verdicts over which the wait for them is told.
pub const VERDICTS_TIMED: usize = 100;

/// Bad lines of a share log that are told one by one: a file that is something else has millions.
pub const TROUBLES_TOLD: u64 = 1000;

/// The history of a run for its charts, as seconds between points and how many of them: each second of five minutes,
/// ten seconds of an hour, a minute of a day. With 64 devices they take 2 MB.
pub const HISTORY: [(f64, usize); 3] = [(1.0, 300), (10.0, 360), (60.0, 1440)];

/// Connections to the HTTP interface. One more closes the one that was silent for longest.
pub const HTTP_CONNECTIONS: usize = 64;

/// Clients that follow the events of a run.
pub const HTTP_FOLLOWERS: usize = 16;

/// Bytes of the head of a request. Browsers send some 700.
pub const HTTP_HEAD: usize = 16 << 10;

/// Headers of a request.
pub const HTTP_HEADERS: usize = 64;

/// Bytes of the body of a request: the name of a profile.
pub const HTTP_BODY: usize = 1024;

/// How long a client may take to send a request, or to take what is sent to it.
pub const HTTP_PATIENCE: Duration = Duration::from_secs(10);

/// Connections to the API of port 4028, each for one command. One more closes the oldest.
pub const RIG_CONNECTIONS: usize = 16;

/// Bytes of a command of that API.
pub const RIG_REQUEST: usize = 4096;

/// How long a command of that API and its answer may take.
pub const RIG_PATIENCE: Duration = Duration::from_secs(5);
