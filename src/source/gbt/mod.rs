//! One's own node, through getblocktemplate.
