-- a start that was waited for was sent again although the one before may have begun an execution, and the message has several; one per extra one
SELECT NULL AS s, id, least(executions, starts) - 1 AS n, NULL AS note FROM several_executions WHERE starts > 1;
