"""What is kept with measured figures."""

from multiner.figures import describe_machine, processor_in

ONE = "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\n"


def test_generations_of_a_processor_that_have_one_name_are_told_apart():
    assert processor_in(f"{ONE}\n{ONE.replace('25', '26')}") == "AMD EPYC, family 25, model 17"
    assert processor_in(ONE.replace("25", "26")) == "AMD EPYC, family 26, model 17"


def test_a_processor_without_a_name_there_is_called_as_python_calls_it():
    assert processor_in("processor\t: 0\nBogoMIPS\t: 50.00\n") == processor_in("") == ""
    assert describe_machine()["cpu"]
