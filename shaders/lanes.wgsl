// The words of each version, for the layouts whose headers share work: the host fills them.

@group(0) @binding(2) var<storage, read> lanes: array<vec4<u32>>;
