"""Texts to try the rooms of text on, of the kinds that people send."""

NEWS = (
    (
        "本报讯　记者从市统计局获悉，2024年前三季度全市实现地区生产总值12，345.6亿元，"
        "按可比价格计算同比增长5.2%，"
        "增速比上半年加快0.3个百分点。其中，第一产业增加值234.5亿元，增长3.1％；第二产业增加值4，567.8亿元，"
        "增长６．１％。“这样的成绩来之不易，”局长李明说，“我们要再接再厉。”据介绍，全市共有规模以上工业企业3，218家，"
        "比去年同期增加１２７家，利润总额为100,000,000元。"
    ),
    (
        "昨晚10：30，在能容纳5—6万人的体育场里，主队以3：2险胜客队。比赛第88分钟，替补上场的9号队员接队友传中头球破门，"
        "比分变为2：2；补时第4分钟，队长罚入点球。赛后主教练表示，2023–2024赛季球队的目标是进入前3名。"
    ),
    (
        "气象台预计，未来24小时本市最高气温为-5℃到3℃，北风4～5级，阵风7级。请市民注意防寒保暖，出行注意安全。"
        "受其影响，机场共取消航班56架次，延误1小时以上的有128架次，京沪高速1234公里处双向封闭，何时开通请拨打12122咨询。"
    ),
    (
        "春天来了，万物复苏，小草从泥土里探出头来，花儿也竞相开放，空气中弥漫着清新的味道。孩子们脱下厚厚的棉衣，"
        "在公园里追逐着，笑声传得很远很远。老人们坐在长椅上，说着过去的事情，阳光暖暖地照在他们的脸上。天。"
    ),
)
ENGLISH = (
    (
        "The committee said on Tuesday that it would publish its "
        "report before the end of the month, "
        "and that the findings had been checked by three independent "
        "experts. Dr. Smith, who led the "
        "work, told reporters that the cost had risen by 12.5% to "
        "$3.4 million since 2019. He did not "
        "say who would pay for it. The mayor, who had asked for the "
        "inquiry, called it a good day for "
        "the city, although some of the people who live by the river were less certain about that."
    ),
    (
        "When I was a child my grandmother used to tell me stories "
        "about the sea. She had lived in a "
        "small house on the coast for most of her life, and she knew "
        "the name of every bird and every "
        "boat. In the evening we would sit by the window and watch the lights come on, one after "
        "another, until the whole bay was full of them. I have never forgotten those evenings."
    ),
)
UNPUNCTUATED = (
    "我们今天早上去公园散步的时候看见很多老人在那里打太极拳还有一些孩子在草地上放风筝天气非常好阳光照在身上"
    "暖洋洋的大家都很高兴后来我们又去了附近的市场买了一些新鲜的蔬菜和水果准备回家做一顿丰盛的午餐"
)
