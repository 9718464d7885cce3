//! The gate for kernels of users.

use adit::kernel::{Kernel, Target, translate};

use super::reach;

/// A kernel: what passes the gate is written in every language without a panic.
pub fn wgsl(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let Ok(kernel) = Kernel::custom("fuzzed.wgsl", &text) else {
        return reach("refused");
    };
    reach("a kernel");
    for target in [Target::Wgsl, Target::Spirv, Target::Msl, Target::Hlsl] {
        // A language may lack what a kernel needs, which is told.
        translate(&kernel.wgsl, target).ok();
    }
}
