// When the outputs of a layer can be computed by P processors, each of which takes one unit of time for one output.

export interface Job {
  /** The step t of the sequence, from 0. */
  step: number;
  unit: number;
  layer: number;
  processor: number;
  time: number;
}

/** An RNN: the H outputs of step t wait for those of step t − 1. */
export function recurrentSchedule(steps: number, hidden: number, processors: number): Job[] {
  const each = Math.ceil(hidden / processors);
  return Array.from({ length: steps }, (_, step) =>
    Array.from({ length: hidden }, (__, unit) => ({
      step,
      unit,
      layer: 0,
      processor: unit % processors,
      time: step * each + Math.floor(unit / processors),
    })),
  ).flat();
}

/** Convolutions: all outputs of a layer can be computed at once; a layer waits for the one below. */
export function convolutionSchedule(steps: number, hidden: number, processors: number, layers: number): Job[] {
  const each = Math.ceil((steps * hidden) / processors);
  return Array.from({ length: layers }, (_, layer) =>
    Array.from({ length: steps * hidden }, (__, k) => ({
      step: Math.floor(k / hidden),
      unit: k % hidden,
      layer,
      processor: k % processors,
      time: layer * each + Math.floor(k / processors),
    })),
  ).flat();
}

/** The time of a schedule: one more than that of its last job. */
export const duration = (jobs: readonly Job[]): number => jobs.reduce((last, { time }) => Math.max(last, time + 1), 0);

export const recurrentTime = (steps: number, hidden: number, processors: number): number =>
  steps * Math.ceil(hidden / processors);

export const convolutionTime = (steps: number, hidden: number, processors: number, layers: number): number =>
  layers * Math.ceil((steps * hidden) / processors);
