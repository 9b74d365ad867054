/** History and the live stream as one series. See README.md beside this file. */
export * from './records';
export * from './timeframe';
export { candleOf, combine, type Candle } from './candle';
export { eligibility, OpenClose, type Eligibility } from './conditions';
export { LiveBars, type Follower, type History, type LiveBarsOptions, type Stream } from './live-bars';
export { FrameBars } from './frame-bars';
export { Positions, type Verdict } from './positions';
export type { SeamState } from './seam';
