//! The structs that host and kernel share, as `shaders/abi.wgsl` lays them out.

use bytemuck::{Pod, Zeroable};

use super::word::Sigma;
use crate::limits::{HITS_PER_BATCH, JOB_SLOTS};

/// `Params` of `shaders/abi.wgsl`: one dispatch. Fields are explained there.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[expect(missing_docs, reason = "explained where the layout is written, shaders/abi.wgsl")]
pub struct Params {
    pub job: [u32; JOB_SLOTS],
    pub rotations: [u32; 12],
    pub base: u32,
    pub start: u32,
    pub count: u32,
    pub groups_per_row: u32,
    pub sequence: u32,
    pub filter_mask: u32,
    pub one: u32,
    pub headers: u32,
}

/// `Report` of `shaders/abi.wgsl`: what a dispatch answers. Fields are explained there.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[expect(missing_docs, reason = "explained where the layout is written, shaders/abi.wgsl")]
pub struct Report {
    pub sequence: u32,
    pub groups_done: u32,
    pub hits_found: u32,
    pub unused: u32,
    pub hits: [[u32; 2]; HITS_PER_BATCH],
}

/// The value of `Params::rotations`: the amounts of Σ0, Σ1, σ0 and σ1, without the shifts.
pub const ROTATIONS: [u32; 12] = {
    let [a, b, c] = Sigma::Big0.amounts();
    let [d, e, f] = Sigma::Big1.amounts();
    let [g, h, _] = Sigma::Small0.amounts();
    let [i, j, _] = Sigma::Small1.amounts();
    [a, b, c, d, e, f, g, h, i, j, 0, 0]
};

#[cfg(test)]
mod tests {
    use std::mem::{offset_of, size_of};

    use super::*;
    use crate::limits::VERLANE_WINDOW;

    type Offsets = Vec<(&'static str, usize)>;

    /// Name, size and member offsets of each struct on the Rust side.
    fn host_layouts() -> [(&'static str, usize, Offsets); 2] {
        macro_rules! offsets {
            ($type:ty: $($field:ident)*) => { vec![$((stringify!($field), offset_of!($type, $field))),*] };
        }
        [
            (
                "Params",
                size_of::<Params>(),
                offsets!(Params: job rotations base start count groups_per_row sequence filter_mask one headers),
            ),
            (
                "Report",
                size_of::<Report>(),
                offsets!(Report: sequence groups_done hits_found unused hits),
            ),
        ]
    }

    #[test]
    fn every_offset_equals_that_of_the_shader() {
        let module = naga::front::wgsl::parse_str(include_str!("../../shaders/abi.wgsl")).unwrap();
        for (name, size, fields) in host_layouts() {
            let (_, shader) =
                module.types.iter().find(|(_, ty)| ty.name.as_deref() == Some(name)).unwrap();
            let naga::TypeInner::Struct { members, span } = &shader.inner else { panic!("{name}") };
            assert_eq!(*span as usize, size, "size of {name}");
            let shader: Vec<(&str, usize)> =
                members.iter().map(|m| (m.name.as_deref().unwrap(), m.offset as usize)).collect();
            assert_eq!(shader, fields, "offsets of {name}");
        }
    }

    #[test]
    fn the_window_of_the_shader_is_the_hosts() {
        let shader = include_str!("../../shaders/verlane_uniform.wgsl");
        assert!(shader.contains(&format!("const WINDOW: u32 = {VERLANE_WINDOW}u;")));
    }

    #[test]
    fn the_shader_keeps_as_many_hits_as_the_host_reads() {
        let abi = include_str!("../../shaders/abi.wgsl");
        assert!(abi.contains(&format!("const MAX_HITS: u32 = {HITS_PER_BATCH}u;")));
    }
}
