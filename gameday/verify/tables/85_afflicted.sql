-- Each fault with each process that it names, to the end of the history where it never stopped; and what kinds of fault do
-- to a process, by their names.

CREATE MACRO ends_a_process(fault) AS regexp_matches(fault, 'kill|crash|restart|term|deploy|scale|full-disk|fis');
CREATE MACRO stops_a_process(fault) AS regexp_matches(fault, 'pause|freeze');
CREATE MACRO slows_work(fault) AS
    regexp_matches(fault, 'stretch|pause|latency|slow|cold-start|late-|freeze|hold-in-flight|clock-step');
CREATE MACRO fails_work(fault) AS regexp_matches(fault, 'fail|error|timeout|store-down');
CREATE MACRO loses_calls(fault) AS
    regexp_matches(fault, 'lose|reset|blackhole|late|slow|latency|api-error|doubt|pause|throttle|deny|refuse|impair|partial|partition|fis');

CREATE TABLE afflicted AS
SELECT w.run, f.consumer, w.fault, w.instance, w.start_ns, w.stop_ns
FROM (SELECT run, fault, instance, unnest(targets) AS consumer FROM faults) f
JOIN windows w ON w.run = f.run AND w.fault IS NOT DISTINCT FROM f.fault AND w.instance IS NOT DISTINCT FROM f.instance;
