import { expect, test } from "vitest";

import { Replicas } from "./replicas.ts";

test("two that only pull do not keep a dead leader alive by telling each other of it", async () => {
  const replicas = new Replicas();
  const founder = await replicas.found();
  await replicas.write(founder, { type: "cluster.configure", candidate_pool_size: 1 });
  const learners = [await replicas.join(), await replicas.join()];
  const ofLearners = (): (string | null)[] => learners.map(({ replica }) => replica.status().leader);
  await replicas.clock.until(() => ofLearners().every((leader) => leader === founder.peer));
  expect(learners.map(({ replica }) => replica.status().role)).toEqual(["learner", "learner"]);

  await replicas.kill(founder);
  await replicas.clock.until(() => ofLearners().every((leader) => leader === null));
  expect(learners.map(({ replica }) => replica.status().quorum)).toEqual([false, false]);
});
