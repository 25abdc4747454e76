-- Health of a CompressionJob or an InferenceDeployment for Argo CD, from its conditions.
-- Looks for conditions by their type and generation and never counts them: a new type changes nothing here.
local health = { status = "Progressing", message = "waiting for the operator" }

if obj.spec ~= nil and obj.spec.suspend == true then
  health.status = "Suspended"
  health.message = "spec.suspend is true"
  return health
end

if obj.status == nil or obj.status.conditions == nil then
  return health
end

if obj.status.observedGeneration ~= obj.metadata.generation then
  health.message = "waiting for the operator to see generation " .. tostring(obj.metadata.generation)
  return health
end

local found = {}
for _, condition in ipairs(obj.status.conditions) do
  found[condition.type] = condition
end

local stalled, reconciling, ready = found["Stalled"], found["Reconciling"], found["Ready"]
if stalled ~= nil and stalled.status == "True" then
  health.status = "Degraded"
  health.message = stalled.reason .. ": " .. (stalled.message or "")
elseif reconciling ~= nil and reconciling.status == "True" then
  health.message = reconciling.reason .. ": " .. (reconciling.message or "")
elseif ready ~= nil and ready.status == "True" then
  health.status = "Healthy"
  health.message = ready.message or ""
elseif ready ~= nil and ready.status == "False" then
  health.status = "Degraded"
  health.message = ready.reason .. ": " .. (ready.message or "")
end
return health
