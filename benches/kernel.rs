//! What the host computes around the kernels. Wanted: a variant derived and printed in less than
//! 50 ms, a job's words in less than 20 µs, a hit verified in less than 1 µs where the processor has
//! SHA instructions.

#![expect(clippy::unwrap_used, reason = "a bench may panic")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use adit::chain::KNOWN_BLOCKS;
use adit::kernel::{JobWords, Kernel, Target, Variant, translate};
use adit::work::{Batch, Filter, Hit, Job, JobId, Nonces, Rolls, verify};
use criterion::{Criterion, criterion_group, criterion_main};

fn derive(criterion: &mut Criterion) {
    let variant = Variant::DEFAULT;
    criterion.bench_function("derive and print a variant", |bencher| {
        bencher.iter(|| Kernel::new(black_box(variant)));
    });
    let wgsl = Kernel::new(variant).wgsl;
    criterion.bench_function("translate a variant to SPIR-V", |bencher| {
        bencher.iter(|| translate(black_box(&wgsl), Target::Spirv).unwrap());
    });
}

fn job(criterion: &mut Criterion) {
    let plan = Kernel::new(Variant::DEFAULT).job;
    let header = KNOWN_BLOCKS[0].header().unwrap();
    criterion.bench_function("host plan of a job", |bencher| {
        bencher.iter(|| plan.fill(&JobWords::of(black_box(&header))));
    });
}

fn hit(criterion: &mut Criterion) {
    let header = KNOWN_BLOCKS[0].header().unwrap();
    let job = Job {
        id: JobId::only(1),
        rolls: Rolls::one(header),
        target: header.target(),
        nonces: Nonces::ALL,
    };
    let region = job.space();
    let batch = Batch { job: Arc::new(job), region, filter: Filter::WORD };
    let hit = Hit { header: 0, nonce: header.nonce };
    criterion.bench_function("verify a hit", |bencher| {
        bencher.iter(|| verify(black_box(&batch), black_box(hit)).unwrap());
    });
}

criterion_group! {
    name = host;
    config = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(4));
    targets = derive, job, hit
}
criterion_main!(host);
