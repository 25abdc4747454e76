"""What each reason of a condition means and what a person does about it; the troubleshooting page is made from this.

Decides nothing: `decisions` chooses the reason, and the condition's message carries the figures of the case.
"""

from __future__ import annotations

from dataclasses import dataclass

from frugal.api.conditions import Reason


@dataclass(frozen=True, slots=True)
class Explanation:
    """A reason in words.

    meaning: what Frugal saw.
    remedy: what to do; empty where nothing is wrong.
    """

    meaning: str
    remedy: str = ""


EXPLANATIONS: dict[Reason, Explanation] = {
    Reason.ACCEPTED: Explanation("The spec keeps every rule of its schema."),
    Reason.INVALID_SPEC: Explanation(
        "The spec breaks a rule. Nothing was started or changed for this generation.",
        "Mend the field that the message names. A server with CEL (Kubernetes 1.25 or newer) refuses such an object "
        "when it is applied; an older one stores it, and this condition is where you see the fault.",
    ),
    Reason.INVALID_INPUT: Explanation(
        "An input cannot be used: a missing model or data set, a wrong digest, a corrupt file, shapes or labels that "
        "do not fit. A retry would end the same way, so there was none.",
        "Mend the input that the message names, then change the spec (for example its `sha256`) to start again.",
    ),
    Reason.UNSUPPORTED: Explanation(
        "The spec asks for something that this version, or this cluster, cannot do.",
        "Change the field that the message names to one of the values that it lists.",
    ),
    Reason.PENDING: Explanation(
        "The work is accepted and its pod has not started yet.",
        "If it stays so, look at the pod: `kubectl describe pod -l job-name=JOB` with the name from `.status.jobName`.",
    ),
    Reason.SUSPENDED: Explanation(
        "`spec.suspend` is true: the Job was deleted, and its study is kept at the output URI.",
        "Set `suspend: false`; the search goes on where it stopped.",
    ),
    Reason.QUEUED: Explanation(
        "Kueue holds the Job back until its queue has room.",
        "Nothing; `kubectl get workloads` shows the queue.",
    ),
    Reason.ESTIMATING: Explanation("The pod has started: it loads the inputs and measures the baseline."),
    Reason.SEARCHING: Explanation("Candidates are made and measured; `.status.progress` says how many."),
    Reason.VERIFYING: Explanation(
        "The best candidate is judged in a fresh process, on data that the search never saw."
    ),
    Reason.PUBLISHING: Explanation("Verified artifacts are written to the output URI."),
    Reason.SUCCEEDED: Explanation("The work ended well, and what it made is named in the status."),
    Reason.REJECTED: Explanation(
        "Every candidate lost more than `objective.maxLoss` at its upper confidence bound, or gained nothing. "
        "Nothing was published.",
        "Give more evaluation samples (the bound gets tighter), training data (pruned models recover), more trials, "
        "or allow more loss. `report.html` shows how far each candidate was off.",
    ),
    Reason.NOT_WORTH_IT: Explanation(
        "What compressing costs is not paid back within `costBenefit.horizon`.",
        "Nothing is wrong. To compress all the same, set `costBenefit.mode: Advise`.",
    ),
    Reason.WORTH_IT: Explanation("The saving pays the cost within `costBenefit.horizon`."),
    Reason.PAYBACK_UNKNOWN: Explanation(
        "Whether it pays cannot be told: no load or no price is known.",
        "Name an InferenceDeployment in `costBenefit.inferenceDeploymentRef` or give `requestsPerSecond`, and see that "
        "the price book covers the node.",
    ),
    Reason.POD_FAILED: Explanation(
        "A pod crashed; the message has its exit status and last words.",
        "Read `kubectl logs`. The Job retries `backoffLimit` times by itself.",
    ),
    Reason.OUT_OF_MEMORY: Explanation(
        "A container was killed because it needed more memory than its limit.",
        "For a CompressionJob, raise `resources.limits.memory`. An InferenceDeployment with `rightSizing.mode: Auto` "
        "is given more at once; with another mode, raise the memory in `runtime.podTemplate`.",
    ),
    Reason.DEADLINE_EXCEEDED: Explanation(
        "The work took longer than `activeDeadlineSeconds`, retries included.",
        "Raise the deadline, or ask for fewer trials or a shorter `strategy.search.timeout`.",
    ),
    Reason.BACKOFF_LIMIT_EXCEEDED: Explanation(
        "The pod crashed on each of its `backoffLimit` retries.",
        "Read the log of the last pod, mend the cause, then change the spec to start again.",
    ),
    Reason.IMAGE_UNAVAILABLE: Explanation(
        "The node cannot get the container image.",
        "Check the image name in the operator's settings or the pod template, and the node's access to its registry.",
    ),
    Reason.UNSCHEDULABLE: Explanation(
        "No node fits the pod: too little free CPU, memory or accelerators, or a taint that is not tolerated.",
        "The message is the scheduler's. Lower `resources`, widen `accelerators`, or add a node.",
    ),
    Reason.FORBIDDEN: Explanation(
        "The API server refused a change: RBAC, a ResourceQuota, a LimitRange or an admission check.",
        "The message is the server's. Raise the quota, or give the operator the verb that it names.",
    ),
    Reason.CONFLICT: Explanation(
        "Another field manager owns a field that Frugal must write, or an object of the same name is somebody else's.",
        "Remove the field from the other manager's manifest, or rename one of the two objects.",
    ),
    Reason.REFERENCE_MISSING: Explanation(
        "An object that the spec names is not there: a Secret, a claim, a ConfigMap, a CompressionJob, a Deployment.",
        "Create it or correct the name; Frugal goes on by itself as soon as it appears.",
    ),
    Reason.WAITING_FOR_ARTIFACT: Explanation(
        "The CompressionJob in `model.compressionJobRef` has published nothing yet.",
        "Nothing, if it is still at work; otherwise look at its own conditions.",
    ),
    Reason.PROGRESSING: Explanation(
        "Replicas are being started or replaced.",
        "If it stays so, look at the pods: `kubectl describe pod` shows what they wait for.",
    ),
    Reason.SERVING: Explanation("Every replica that should be there serves the present model."),
    Reason.ROLLOUT_FAILED: Explanation(
        "The new replicas did not become ready in time; the old ones go on serving.",
        "Read the log of a new pod: a wrong digest, a model that cannot be loaded, or too little memory.",
    ),
    Reason.SCALED_TO_ZERO: Explanation("No replica runs, because none is asked for."),
    Reason.OBJECTIVE_MET: Explanation("Enough requests keep the objective over its window."),
    Reason.OBJECTIVE_MISSED: Explanation(
        "Fewer requests than promised keep the objective.",
        "With `rightSizing.mode: Auto` capacity grows by itself up to `replicas.max`; raise that, "
        "or compress the model.",
    ),
    Reason.NO_OBJECTIVE: Explanation("The spec has no `slo`, so there is nothing to keep or to miss."),
    Reason.NO_TRAFFIC: Explanation("There were no requests in the window, so nothing can be said."),
    Reason.TOO_FEW_SAMPLES: Explanation(
        "There is too little history for a recommendation that holds.",
        "Wait; the message says how much is there and how much is needed.",
    ),
    Reason.TELEMETRY_STALE: Explanation(
        "The newest sample is too old to act on. The size stays as it is.",
        "Check that Prometheus scrapes the pods, or that the operator can reach them.",
    ),
    Reason.TELEMETRY_MISSING: Explanation(
        "Nothing is measured. The size stays as it is.",
        "Check the operator's Prometheus URL and that its queries find the pods (a ServiceMonitor, cAdvisor, DCGM); "
        "without a URL the operator scrapes the pods itself and must be able to reach them.",
    ),
    Reason.TELEMETRY_FRESH: Explanation("Samples arrive."),
    Reason.PRICE_MISSING: Explanation(
        "The price book has no price for something that is used, so money is not said.",
        "Add the price that the message names to the ConfigMap `frugal-prices`.",
    ),
    Reason.APPLIED: Explanation("The recommended size is what runs."),
    Reason.RECOMMENDED: Explanation(
        "Another size is recommended, and the mode leaves the change to you.",
        "Apply it yourself, or set `rightSizing.mode: Auto`.",
    ),
    Reason.WITHIN_DEAD_BAND: Explanation(
        "The change would save less than `rightSizing.minSaving`: not worth a restart."
    ),
    Reason.COOLING_DOWN: Explanation("The last change is younger than `rightSizing.cooldown`; the next waits."),
    Reason.OUTSIDE_CHANGE_WINDOW: Explanation("A change that saves waits for one of `rightSizing.changeWindows`."),
    Reason.FAILED_BEFORE: Explanation(
        "The recommended size was tried, missed the objective or did not start, and was taken back. It is not tried "
        "again for a week, or until the model changes; `.status.rejected` has each with its reason.",
    ),
    Reason.ON_TRIAL: Explanation(
        "The last change that saves is watched for an hour, and until enough requests have come; the next waits.",
    ),
    Reason.ROLLED_BACK: Explanation(
        "A change of size missed the objective, or its pods did not become ready: the size before it runs again.",
        "Nothing; the message says what went wrong. A pod that cannot start names its own reason.",
    ),
    Reason.OFF: Explanation("It is switched off in the spec."),
    Reason.WITHIN_BUDGET: Explanation("The month's forecast is within `budget.monthly`."),
    Reason.OVER_BUDGET: Explanation(
        "The month's forecast is over `budget.monthly`.",
        "Follow the recommendation, compress the model, or raise the budget. `onExceed: Cap` limits the replicas.",
    ),
    Reason.NO_BUDGET: Explanation("The spec has no `budget`."),
}
