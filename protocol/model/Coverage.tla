------------------------------- MODULE Coverage -------------------------------
(* What is taken: TLC prints each row of the tables as it is taken for the first time (Used <- UsedAndTold).         *)
EXTENDS Promises

\* A register of TLC's: the rows that were printed.
ASSUME TLCSet(1, {})
UsedAndTold(table, row) ==
    LET text == <<"row", table, row[1], row[2]>>
    IN  IF text \in TLCGet(1) \/ (TLCSet(1, TLCGet(1) \cup {text}) /\ PrintT(ToString(text))) THEN row ELSE row
=============================================================================
