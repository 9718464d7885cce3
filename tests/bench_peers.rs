//! What `benches/peers` reads of hashcat's output, which the bench itself sees only where hashcat is installed.

#[expect(dead_code, reason = "the bench runs the program, the test reads what it printed")]
#[path = "../benches/peers/hashcat.rs"]
mod hashcat;

use hashcat::{Mode, devices, same};

/// As version 6.2.6 prints it on a machine with one GPU, seen through CUDA and OpenCL, and a processor.
const LIST: &str = "\
hashcat (v6.2.6) starting in backend information mode

CUDA Info:
==========

CUDA.Version.: 12.2

Backend Device ID #1 (Alias: #2)
  Name...........: NVIDIA GeForce RTX 3090
  Processor(s)...: 82
  Clock..........: 1695
  PCI.Addr.BDF...: 0A:00.0

OpenCL Info:
============

OpenCL Platform ID #1
  Vendor..: NVIDIA Corporation
  Name....: NVIDIA CUDA

  Backend Device ID #2 (Alias: #1)
    Type...........: GPU
    Name...........: NVIDIA GeForce RTX 3090
    PCI.Addr.BDF...: 0a:00.0

OpenCL Platform ID #2
  Name....: Portable Computing Language

  Backend Device ID #3
    Type...........: CPU
    Name...........: pthread-skylake-avx512-AMD EPYC
    Driver.Version.: 3.1+debian
";

#[test]
fn a_device_is_found_by_address_name_or_as_the_processor() {
    let peers = devices(LIST);
    assert_eq!(peers.iter().map(|peer| peer.id).collect::<Vec<_>>(), [1, 2, 3]);
    let id = |name, pci, kind| same(&peers, name, pci, kind).map(|peer| peer.id);
    assert_eq!(id("RTX", Some("0000:0a:00.0"), "discrete"), Some(1));
    assert_eq!(id("RTX", Some("0000:0b:00.0"), "discrete"), None, "another GPU");
    assert_eq!(id("NVIDIA GeForce RTX 3090", None, "discrete"), Some(1));
    assert_eq!(id("llvmpipe (LLVM 15.0.6, 256 bits)", None, "software"), Some(3));
    assert_eq!(id("AMD EPYC", None, "cpu"), Some(3));
    assert_eq!(id("AMD Radeon", None, "integrated"), None);
    assert_eq!(same(&devices("nothing"), "RTX", None, "discrete"), None);
}

#[test]
fn a_rate_is_the_last_field_of_the_line_of_its_mode() {
    let said = "Do not report hashcat issues encountered when using --force.\n\n# option: --force\n\
                1:1400:4294967295:4294967295:35.11:65715656\nStarted: Fri Nov 27 07:24:36 2026\n";
    assert_eq!(Mode::Single.rate(said), Ok(65_715_656.0));
    let error = Mode::Double.rate(said).unwrap_err();
    assert!(error.contains("-m 21400") && error.contains("--force"), "{error}");
}
