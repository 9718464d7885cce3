//! The symbolic word: running SHA-256d on it records which operations it is made of.
//!
//! Every recorded word has a [`Binding`] time: the moment at which its value is known. Constants fold as
//! they are recorded, equal operations are recorded once.

use std::cell::RefCell;
use std::collections::HashMap;

use super::word::{Name, Sigma, Word};

/// When the value of a word is known. An operation is bound when all its operands are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Binding {
    /// Once per job: the host computes it.
    Job,
    /// Once per nonce, whatever the version.
    Row,
    /// Once per version, whatever the nonce: the host computes it.
    Lane,
    /// Once per hash.
    Hash,
}

impl Binding {
    /// When two words are both known.
    #[must_use]
    const fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::Job, later) | (later, Self::Job) => later,
            (Self::Row, Self::Row) => Self::Row,
            (Self::Lane, Self::Lane) => Self::Lane,
            _ => Self::Hash,
        }
    }

    /// Whether the host computes it.
    #[must_use]
    pub(super) const fn is_hosts(self) -> bool {
        matches!(self, Self::Job | Self::Lane)
    }
}

/// When a layout knows the words from outside. What only the job knows is always [`Binding::Job`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bindings {
    /// The midstate, which depends on the version.
    pub(super) midstate: Binding,
    pub(super) nonce: Binding,
}

/// A word that comes from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Input {
    /// Word 0 to 7 of the state after the header's first 64 bytes.
    Midstate(u8),
    /// Word 0 to 2 of the header's bytes 64..76.
    Tail(u8),
    /// The nonce as the big-endian word of bytes 76..80.
    Nonce,
}

impl Bindings {
    const fn of(self, input: Input) -> Binding {
        match input {
            Input::Midstate(_) => self.midstate,
            Input::Tail(_) => Binding::Job,
            Input::Nonce => self.nonce,
        }
    }
}

/// Index of a recorded operation. Operands have smaller indices.
pub(super) type Id = usize;

/// An operand: a constant of the specification, or a recorded word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Operand {
    Constant(u32),
    Recorded(Id),
}

/// The bitwise functions of three words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Ternary {
    Ch,
    Maj,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Operation {
    Input(Input),
    Sigma(Sigma, Id),
    Ternary(Ternary, [Operand; 3]),
    Sum { terms: Vec<Id>, constant: u32 },
}

#[derive(Debug, Clone)]
pub(super) struct Recorded {
    pub(super) operation: Operation,
    pub(super) binding: Binding,
    pub(super) name: Option<Name>,
}

/// Collects the operations of one run.
#[derive(Debug)]
pub(super) struct Recorder {
    bindings: Bindings,
    recorded: RefCell<Vec<Recorded>>,
    known: RefCell<HashMap<Operation, Id>>,
}

impl Recorder {
    /// Nothing recorded.
    pub(super) fn new(bindings: Bindings) -> Self {
        Self { bindings, recorded: RefCell::default(), known: RefCell::default() }
    }

    /// A word from outside.
    pub(super) fn input(&self, input: Input) -> Symbol<'_> {
        self.record(Operation::Input(input), self.bindings.of(input))
    }

    /// What was recorded, in an order in which operands come first.
    pub(super) fn into_recorded(self) -> Vec<Recorded> {
        self.recorded.into_inner()
    }

    fn record(&self, operation: Operation, binding: Binding) -> Symbol<'_> {
        let mut recorded = self.recorded.borrow_mut();
        let id = *self.known.borrow_mut().entry(operation.clone()).or_insert_with(|| {
            recorded.push(Recorded { operation, binding, name: None });
            recorded.len() - 1
        });
        Symbol::Recorded(self, id)
    }

    fn binding(&self, operands: impl IntoIterator<Item = Id>) -> Binding {
        let recorded = self.recorded.borrow();
        operands.into_iter().map(|id| recorded[id].binding).fold(Binding::Job, Binding::join)
    }
}

/// A word that is either a constant of the specification or a recorded operation.
#[derive(Debug, Clone, Copy)]
pub(super) enum Symbol<'r> {
    Constant(u32),
    Recorded(&'r Recorder, Id),
}

impl<'r> Symbol<'r> {
    /// The operation's index, if the word is not a constant.
    pub(super) fn id(self) -> Option<Id> {
        match self {
            Self::Constant(_) => None,
            Self::Recorded(_, id) => Some(id),
        }
    }

    fn operand(self) -> Operand {
        match self {
            Self::Constant(value) => Operand::Constant(value),
            Self::Recorded(_, id) => Operand::Recorded(id),
        }
    }

    fn recorder(self) -> Option<&'r Recorder> {
        match self {
            Self::Constant(_) => None,
            Self::Recorded(recorder, _) => Some(recorder),
        }
    }

    fn ternary(function: Ternary, words: [Self; 3], constants: fn(u32, u32, u32) -> u32) -> Self {
        if let [Self::Constant(x), Self::Constant(y), Self::Constant(z)] = words {
            return Self::Constant(constants(x, y, z));
        }
        let Some(recorder) = words.into_iter().find_map(Self::recorder) else {
            return Self::Constant(0); // unreachable: three constants returned above
        };
        let binding = recorder.binding(words.into_iter().filter_map(Self::id));
        recorder.record(Operation::Ternary(function, words.map(Self::operand)), binding)
    }
}

impl Word for Symbol<'_> {
    fn constant(value: u32) -> Self {
        Self::Constant(value)
    }

    fn sigma(self, function: Sigma) -> Self {
        match self {
            Self::Constant(value) => Self::Constant(function.apply(value)),
            Self::Recorded(recorder, id) => {
                recorder.record(Operation::Sigma(function, id), recorder.binding([id]))
            }
        }
    }

    fn ch(self, f: Self, g: Self) -> Self {
        Self::ternary(Ternary::Ch, [self, f, g], Word::ch)
    }

    fn maj(self, b: Self, c: Self) -> Self {
        Self::ternary(Ternary::Maj, [self, b, c], Word::maj)
    }

    fn sum<const N: usize>(words: [Self; N]) -> Self {
        let mut terms = Vec::with_capacity(N);
        let mut constant = 0_u32;
        for word in words {
            match word {
                Self::Constant(value) => constant = constant.wrapping_add(value),
                Self::Recorded(_, id) => terms.push(id),
            }
        }
        match words.into_iter().find_map(Self::recorder) {
            None => Self::Constant(constant),
            // A sum of one term and nothing is that term.
            Some(recorder) if terms.len() == 1 && constant == 0 => {
                Self::Recorded(recorder, terms[0])
            }
            Some(recorder) => {
                terms.sort_unstable();
                let binding = recorder.binding(terms.iter().copied());
                recorder.record(Operation::Sum { terms, constant }, binding)
            }
        }
    }

    /// The first name stays: a word that appears in two roles keeps the earlier one.
    fn named(self, name: Name) -> Self {
        if let Self::Recorded(recorder, id) = self {
            recorder.recorded.borrow_mut()[id].name.get_or_insert(name);
        }
        self
    }
}
