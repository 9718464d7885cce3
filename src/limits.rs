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

/// How long a device that was told to stop may take for its last batch before its thread is left alone.
pub const STOP_DEADLINE: Duration = Duration::from_secs(2);

/// Longest wait for a graphics driver to list its adapters or to open one.
pub const DRIVER_DEADLINE: Duration = Duration::from_secs(120);

/// Longest wait for a driver to compile one kernel without running it. Software adapters take seconds.
pub const COMPILE_DEADLINE: Duration = Duration::from_secs(120);

/// Faults (lost dispatches, wrong hits) of one device in a run before it is given no more work.
pub const FAULTS_PER_DEVICE: u32 = 3;

/// Devices in one run. More are refused: the ledger and the displays are sized for a desktop.
pub const DEVICES: usize = 64;

/// Intervals in all bands of the ledger of one job. A job that shatters into more is a bug; it ends incomplete.
pub const LEDGER_INTERVALS: usize = 1 << 16;

/// Length of a header line on standard input; a header is 160 digits.
pub const HEADER_LINE: u64 = 4096;

/// Hits that `scan` keeps for one header. An easier target than this allows is refused in advance by
/// the expected count, and a scan that passes it ends with an error rather than with a partial list.
pub const HITS_PER_SCAN: usize = 1 << 20;

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

/// Bytes that a workgroup of a user's kernel may share: the least that wgpu asks of an adapter without
/// more being required (a test compares them).
pub const WORKGROUP_MEMORY: u32 = 16352;
