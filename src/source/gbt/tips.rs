//! Tips of the chain on which we have a solution, so that no other is mined there.

use std::collections::VecDeque;

use bitcoin::BlockHash;

use crate::limits::SOLVED_TIPS;

/// The last solutions, the newest last.
#[derive(Debug, Default)]
pub(super) struct Tips(VecDeque<Tip>);

#[derive(Debug)]
struct Tip {
    previous: BlockHash,
    solution: BlockHash,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The node has not answered yet.
    Awaited,
    /// It has, and this is the first request that was made afterwards.
    Answered(u64),
    /// It was asked afterwards and still, or again, wants a block there.
    Open,
}

/// Whether a template can be worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allowed {
    Yes,
    /// Not before our solution is answered.
    No,
    /// It was asked for before the node answered, and may be older than our solution.
    AskAgain,
}

impl Tips {
    /// There is a solution on top of `previous`.
    pub(super) fn occupy(&mut self, previous: BlockHash, solution: BlockHash) {
        if self.0.len() == SOLVED_TIPS {
            self.0.pop_front();
        }
        self.0.push_back(Tip { previous, solution, state: State::Awaited });
    }

    /// The solution on top of `previous` is answered; `next` is the number of the next request.
    pub(super) fn answered(&mut self, previous: BlockHash, next: u64) {
        for tip in self.on(previous).filter(|tip| tip.state == State::Awaited) {
            tip.state = State::Answered(next);
        }
    }

    /// A template on top of `previous` came with the answer to `request`.
    pub(super) fn offered(&mut self, previous: BlockHash, request: u64) -> Allowed {
        for tip in self.on(previous) {
            match tip.state {
                State::Awaited => return Allowed::No,
                State::Answered(next) if request < next => return Allowed::AskAgain,
                State::Answered(_) | State::Open => tip.state = State::Open,
            }
        }
        Allowed::Yes
    }

    /// Whether another solution on top of `previous` is of no use.
    pub(super) fn is_occupied(&self, previous: BlockHash) -> bool {
        self.0.iter().any(|tip| tip.previous == previous && tip.state != State::Open)
    }

    /// Whether this solution was there before.
    pub(super) fn knows(&self, solution: BlockHash) -> bool {
        self.0.iter().any(|tip| tip.solution == solution)
    }

    fn on(&mut self, previous: BlockHash) -> impl Iterator<Item = &mut Tip> {
        self.0.iter_mut().filter(move |tip| tip.previous == previous)
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash;

    use super::*;

    fn hash(number: u8) -> BlockHash {
        BlockHash::from_byte_array([number; 32])
    }

    #[test]
    fn a_tip_is_free_again_when_the_node_asks_for_a_block_there_after_its_answer() {
        let (tip, other) = (hash(1), hash(2));
        let mut tips = Tips::default();
        tips.occupy(tip, hash(10));
        assert!(tips.is_occupied(tip) && !tips.is_occupied(other));
        assert_eq!([tips.offered(other, 0), tips.offered(tip, 9)], [Allowed::Yes, Allowed::No]);
        tips.answered(tip, 7);
        assert_eq!(tips.offered(tip, 6), Allowed::AskAgain);
        assert!(tips.is_occupied(tip));
        assert_eq!(tips.offered(tip, 7), Allowed::Yes);
        assert!(!tips.is_occupied(tip) && tips.knows(hash(10)));
        tips.occupy(tip, hash(11));
        assert_eq!(tips.offered(tip, 100), Allowed::No);
        tips.answered(tip, 101);
        assert_eq!(
            [tips.offered(tip, 100), tips.offered(tip, 101)],
            [Allowed::AskAgain, Allowed::Yes]
        );
    }

    #[test]
    fn only_the_last_solutions_are_remembered() {
        let mut tips = Tips::default();
        for number in 0..=u8::try_from(SOLVED_TIPS).unwrap() {
            tips.occupy(hash(number), hash(number));
        }
        assert_eq!(
            (tips.knows(hash(0)), tips.knows(hash(1)), tips.0.len()),
            (false, true, SOLVED_TIPS)
        );
    }
}
